// `npm run bench`: measures usercast beside a bare `ws` loop and Socket.IO, prints the tables and writes RESULTS.md.
//
//   node bench/run.mjs [--quick] [--only messages|cursor|memory|handshakes|resume|reconnect|replay|cluster|size]
//   node bench/run.mjs --profile <case> [competitor]

import { execSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { measureClientSize } from './measures/client-size.mjs';
import { measureCluster } from './measures/cluster.mjs';
import { measureReconnect, measureResume } from './measures/come-back.mjs';
import { measureCursor, measureFanOut } from './measures/fan-out.mjs';
import { measureHandshakes } from './measures/handshake.mjs';
import { measureMemory } from './measures/memory.mjs';
import { measureReplay } from './measures/replay.mjs';
import { profile } from './profile.mjs';
import { Measurements, machine, tables } from './report.mjs';
import { issueTokens, userIds } from './workload.mjs';

const FULL = {
  connections: 3_000,
  idleConnections: 5_000,
  memoryWarmUp: 3_000,
  handshakes: 3_000,
  generations: 2,
  rounds: 3,
  cpuSeconds: 2,
  processRounds: 4,
  resumes: 1_000,
  missed: 20,
  reconnects: 2_000,
  replayed: 10_000,
  comeBackRounds: 4,
  clusterRounds: 4,
  steadySeconds: 2,
  appendUsers: 2_000,
  appendRounds: 20,
  appendTimes: 5,
  resubscribed: 10_000,
  resubscribeRounds: 4,
};
const QUICK = {
  ...FULL,
  generations: 1,
  rounds: 3,
  cpuSeconds: 0.5,
  processRounds: 1,
  comeBackRounds: 1,
  clusterRounds: 1,
  steadySeconds: 1,
  appendRounds: 8,
  resubscribeRounds: 1,
};

const MEASURES = {
  messages: measureFanOut,
  cursor: measureCursor,
  memory: measureMemory,
  handshakes: measureHandshakes,
  resume: measureResume,
  reconnect: measureReconnect,
  replay: measureReplay,
  cluster: measureCluster,
  size: measureClientSize,
};

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
  const fanOut = { ...size, ...share(byAlg.HS256, 0, size.connections) };
  const comeBack = (count, missed) => ({ rounds: size.comeBackRounds, missed, ...share(byAlg.HS256, 0, count) });
  return {
    messages: fanOut,
    cursor: fanOut,
    memory: {
      rounds: size.processRounds,
      ...share(byAlg.RS256, 0, size.idleConnections),
      warmUp: share(byAlg.RS256, size.idleConnections, size.idleConnections + size.memoryWarmUp),
    },
    handshakes: {
      rounds: size.processRounds,
      workloads: { RS256: sets(byAlg.RS256), HS256: sets(byAlg.HS256) },
    },
    resume: comeBack(size.resumes, size.missed),
    reconnect: comeBack(size.reconnects, 0),
    replay: comeBack(1, size.replayed),
    cluster: {
      clusters: { ...fanOut, rounds: size.clusterRounds },
      appends: { users: users.slice(0, size.appendUsers), rounds: size.appendRounds, times: size.appendTimes },
      resubscribing: { users: userIds(size.resubscribed), rounds: size.resubscribeRounds },
    },
  };
}

async function compare(workloads) {
  if (flags.only && !Object.hasOwn(MEASURES, flags.only)) {
    throw new TypeError(`--only ${flags.only}: one of ${Object.keys(MEASURES).join(', ')}`);
  }
  const measurements = new Measurements();
  const names = flags.only ? [flags.only] : Object.keys(MEASURES);
  for (const name of names) {
    for await (const measurement of MEASURES[name](workloads[name])) {
      measurements.add(measurement);
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  const text = `${machine(size)}\n\n${tables(measurements, (row) => row === 'client-size' && names.includes('size'))}\n`;
  console.log(text);
  if (flags.quick || flags.only) return;
  const head = '# Results\n\nWritten by `npm run bench`; [README.md](README.md) says how to read it.\n\n';
  await writeFile(new URL('./RESULTS.md', import.meta.url), head + text);
}

checkOpenFiles();
const workloads = await prepare();
if (flags.profile) await profile(flags.profile, positionals[0] ?? null, workloads);
else await compare(workloads);
