// The run's one random seed: `vitest.config.ts` picks or takes it and prints it, so that a failure can be repeated.

/** `TEST_SEED`, the same in every test file of a run. */
export const seed = Number(process.env.TEST_SEED);

/**
 * Random numbers in [0, 1) that repeat with the run's seed (mulberry32).
 * @param salt tells apart several sequences of one run
 */
export function seededRandom(salt = 0): () => number {
  let state = (seed + Math.imul(salt, 0x9e3779b9)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
