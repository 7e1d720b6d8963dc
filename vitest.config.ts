import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

if (!process.env.TEST_SEED) {
  process.env.TEST_SEED = String(randomInt(2 ** 31));
  console.log(`seed: TEST_SEED=${process.env.TEST_SEED} repeats this run`);
}

/** They measure what a loaded machine would spoil. */
const ALONE = ['test/behaviour/slow-clients-at-scale.test.ts', 'test/behaviour/soak.test.ts'];

export default defineConfig({
  resolve: {
    // Tests and examples name the package as its users do, and get the sources.
    alias: [
      { find: /^usercast$/, replacement: file('src/index.ts') },
      { find: /^usercast\/client$/, replacement: file('src/client/index.ts') },
      { find: /^usercast\/testing$/, replacement: file('src/testing/index.ts') },
      { find: /^usercast\/(express|koa)$/, replacement: file('adapters/$1.ts') },
      { find: /^usercast\/(nats|redis)$/, replacement: file('adapters/$1/index.ts') },
    ],
  },
  test: {
    // Most files wait for servers and clocks more than they work: two at a time.
    projects: [
      {
        extends: true,
        test: {
          name: 'beside',
          include: ['test/**/*.test.ts'],
          exclude: ALONE,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
    setupFiles: ['test/support/setup.ts'],
    env: { TEST_SEED: process.env.TEST_SEED },
    pool: 'forks',
    // A busy machine is slow, not wrong: these say only when to stop waiting for what does not come.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    retry: 0,
    allowOnly: false,
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts', 'adapters/**/*.ts'],
      reporter: ['text', 'json-summary'],
      reportOnFailure: true,
      thresholds: { branches: 90 },
    },
  },
});
