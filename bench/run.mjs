// `npm run bench`: measures usercast, a bare `ws` loop and Socket.IO side by side, prints the tables and writes
// RESULTS.md.
//
//   node bench/run.mjs [--quick] [--only messages|memory|handshakes]
//   node bench/run.mjs --profile <case> [competitor]

import { execSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { measureFanOut } from './measures/fan-out.mjs';
import { measureHandshakes } from './measures/handshake.mjs';
import { measureMemory } from './measures/memory.mjs';
import { profile } from './profile.mjs';
import { Measurements, machine, table } from './report.mjs';
import { issueTokens, userIds } from './workload.mjs';

const FULL = {
  connections: 3_000,
  idleConnections: 5_000,
  memoryWarmUp: 1_000,
  handshakes: 3_000,
  generations: 2,
  rounds: 3,
  cpuSeconds: 2.2,
  processRounds: 4,
};
const QUICK = { ...FULL, generations: 1, rounds: 3, cpuSeconds: 0.5, processRounds: 1 };

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, only: { type: 'string' }, profile: { type: 'string' } },
});
const size = flags.quick ? QUICK : FULL;

function checkOpenFiles() {
  const limit = execSync('ulimit -n', { shell: '/bin/sh', encoding: 'utf8' }).trim();
  const needed = size.idleConnections + 200;
  if (Number(limit) < needed) throw new Error(`${limit} open files allowed, ${needed} needed: ulimit -n ${needed}`);
}

async function prepare() {
  const users = userIds(Math.max(size.idleConnections + size.memoryWarmUp, 2 * size.handshakes));
  const byAlg = {};
  for (const alg of ['RS256', 'HS256']) byAlg[alg] = { users, ...(await issueTokens(alg, users)) };
  const share = ({ users, tokens, keys }, from, to) => ({
    users: users.slice(from, to),
    tokens: tokens.slice(from, to),
    keys,
  });
  const sets = (all) => ({
    keys: all.keys,
    early: share(all, 0, size.handshakes),
    late: share(all, size.handshakes, 2 * size.handshakes),
  });
  return {
    messages: { ...size, ...share(byAlg.HS256, 0, size.connections) },
    memory: {
      rounds: size.processRounds,
      ...share(byAlg.RS256, 0, size.idleConnections),
      warmUp: share(byAlg.RS256, size.idleConnections, size.idleConnections + size.memoryWarmUp),
    },
    handshakes: {
      rounds: size.processRounds,
      workloads: { RS256: sets(byAlg.RS256), HS256: sets(byAlg.HS256) },
    },
  };
}

async function compare(workloads) {
  const measures = { messages: measureFanOut, memory: measureMemory, handshakes: measureHandshakes };
  if (flags.only && !Object.hasOwn(measures, flags.only)) {
    throw new TypeError(`--only ${flags.only}: one of ${Object.keys(measures).join(', ')}`);
  }
  const measurements = new Measurements();
  for (const [name, measure] of Object.entries(measures)) {
    if (flags.only && name !== flags.only) continue;
    for await (const measurement of measure(workloads[name])) {
      measurements.add(measurement);
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  const text = `${machine(size)}\n\n${table(measurements)}\n`;
  console.log(text);
  if (flags.quick || flags.only) return;
  const head = '# Results\n\nWritten by `npm run bench`; [README.md](README.md) says how to read it.\n\n';
  await writeFile(new URL('./RESULTS.md', import.meta.url), head + text);
}

checkOpenFiles();
const workloads = await prepare();
if (flags.profile) await profile(flags.profile, positionals[0] ?? 'usercast', workloads);
else await compare(workloads);
