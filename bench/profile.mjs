// Where the time of one case goes: a CPU profile of the measured stretch alone, and its functions by self time.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { measureComeBack, openToComeBack, sendAway } from './measures/come-back.mjs';
import { measureBursts, openForFanOut } from './measures/fan-out.mjs';
import { PASSES, passThrough } from './measures/handshake.mjs';
import { withPair } from './pair.mjs';

const SHOWN = 30;
const ROOT = new URL('../', import.meta.url).href;

/** Each prepares its case, and has its measurement done by the function that it is given. */
const CASES = {
  'burst-1': profileBursts(1),
  'burst-10': profileBursts(10),
  resume: profileComeBack('resume'),
  reconnect: profileComeBack('reconnect'),
  ...Object.fromEntries(Object.keys(PASSES).map((pass) => [`handshake-${pass}`, profilePass(pass)])),
};

function profileBursts(size) {
  return async (pair, { messages }, measured) => {
    await openForFanOut(pair, messages);
    return measured(() => measureBursts(pair, size, messages));
  };
}

function profileComeBack(name) {
  return async (pair, { [name]: workload }, measured) => {
    await openToComeBack(pair, workload);
    for (let i = 0; i < 2; i++) await pair.comeBack((await sendAway([pair], workload.missed)).get(pair));
    const lastNumber = (await sendAway([pair], workload.missed)).get(pair);
    const { cpuMicros } = await measured(() => measureComeBack(pair, lastNumber));
    return cpuMicros / workload.users.length;
  };
}

function profilePass(profiled) {
  return async (pair, { handshakes }, measured) => {
    const around = (pass, work) => (pass === profiled ? measured(work) : work());
    return new Map(await passThrough(pair, handshakes.workloads.RS256, around)).get(profiled);
  };
}

export async function profile(name, competitor, workloads) {
  const run = CASES[name];
  if (!run) throw new TypeError(`--profile ${name}: one of ${Object.keys(CASES).join(', ')}`);
  const file = fileURLToPath(new URL(`./${competitor}-${name}.cpuprofile`, import.meta.url));
  const micros = await withPair(competitor, [], (pair) =>
    run(pair, workloads, async (measure) => {
      await pair.startProfile();
      const value = await measure();
      await pair.stopProfile(file);
      return value;
    }),
  );
  console.log(`${competitor}, ${name}: ${micros.toFixed(2)} µs under the profiler\n`);
  console.log(bySelfTime(JSON.parse(await readFile(file, 'utf8'))));
  console.log(`\n${file}`);
}

function bySelfTime({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, node.callFrame]));
  const micros = new Map();
  let total = 0;
  for (const [i, id] of samples.entries()) {
    const { functionName, url, lineNumber } = byId.get(id);
    if (functionName === '(idle)') continue;
    const where = url ? ` ${url.replace(ROOT, '')}:${lineNumber + 1}` : '';
    const key = `${functionName || '(anonymous)'}${where}`;
    micros.set(key, (micros.get(key) ?? 0) + timeDeltas[i]);
    total += timeDeltas[i];
  }
  return [...micros]
    .sort(([, a], [, b]) => b - a)
    .slice(0, SHOWN)
    .map(
      ([key, value]) =>
        `${((100 * value) / total).toFixed(1).padStart(5)} %  ${(value / 1e3).toFixed(0).padStart(6)} ms  ${key}`,
    )
    .join('\n');
}
