// Where the time of one case goes: a CPU profile of the measured stretch alone, and its functions by self time.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { measureSteadily, STEADY, withCluster } from './measures/cluster.mjs';
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

/** Of two processes that reach each other through a broker: the one that publishes, and the other. */
const CLUSTER_CASES = Object.fromEntries(Object.keys(STEADY).map((size) => [`cluster-${size}`, Number(size)]));
const CLUSTER_SECONDS = 4;

function profileCluster(name, competitor, { cluster: { clusters } }, file) {
  return withCluster(competitor, clusters, async (cluster) => {
    await cluster.startProfile();
    const { total } = await measureSteadily(cluster, CLUSTER_CASES[name], CLUSTER_SECONDS);
    return { micros: total, files: await cluster.stopProfile(file) };
  });
}

function profilePair(name, competitor, workloads, file) {
  return withPair(competitor, [], async (pair) => {
    const micros = await CASES[name](pair, workloads, async (measure) => {
      await pair.startProfile();
      const value = await measure();
      await pair.stopProfile(file);
      return value;
    });
    return { micros, files: [file] };
  });
}

/** `competitor` null: usercast. */
export async function profile(name, competitor, workloads) {
  const isCluster = Object.hasOwn(CLUSTER_CASES, name);
  const names = [...Object.keys(CASES), ...Object.keys(CLUSTER_CASES)];
  if (!names.includes(name)) throw new TypeError(`--profile ${name}: one of ${names.join(', ')}`);
  const profiled = competitor ?? (isCluster ? 'usercast-redis' : 'usercast');
  const path = fileURLToPath(new URL(`./${profiled}-${name}.cpuprofile`, import.meta.url));
  const run = isCluster ? profileCluster : profilePair;
  const { micros, files } = await run(name, profiled, workloads, path);
  console.log(`${profiled}, ${name}: ${micros.toFixed(2)} µs under the profiler`);
  for (const file of files) console.log(`\n${file}\n\n${bySelfTime(JSON.parse(await readFile(file, 'utf8')))}`);
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
