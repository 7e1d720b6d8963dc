// CPU time of two server processes and of the broker's server per delivered message, published by one of them to 1, 100
// and 1,000 users of both at the same steady rate for all competitors; and the rate that each reaches without one.

import { Cluster } from '../cluster.mjs';
import { endEngines, startEngines } from '../engines.mjs';
import { COMPETITORS } from '../pair.mjs';
import { measureAppends, measureResubscribing } from './redis.mjs';

const CLUSTER_COMPETITORS = ['usercast-redis', 'socket-io-streams', 'socket-io-redis', 'nats'];

/** Recipients of each message, and deliveries a second, which the slowest of all keeps up with on two busy cores. */
export const STEADY = { 1: 1_000, 100: 20_000, 1000: 20_000 };

/** Sizes that are also published as fast as it goes, so many deliveries under way at a time. */
const FLOODED = [100, 1_000];
const UNDER_WAY = 10_000;

/** Both brokers' servers, one of each for all competitors. Yields what `work` yields, and ends them whatever happens. */
async function* onEngines(work) {
  const engines = await startEngines();
  try {
    yield* work(engines);
  } finally {
    await endEngines(engines);
  }
}

const engineOf = (name, engines) => (COMPETITORS[name].between === 'nats' ? engines.nats : engines.redis);

/** `{ total, engine, perSecond }`: microseconds per delivered message in all and of the broker's server, deliveries a second. */
export async function measureSteadily(cluster, size, seconds) {
  const perSecond = STEADY[size] / size;
  const count = Math.ceil(perSecond * seconds);
  const deliveries = count * size;
  const before = await cluster.cpu();
  const startMs = performance.now();
  await cluster.publish({ count, size, perSecond });
  const wallMs = performance.now() - startMs;
  const after = await cluster.cpu();
  return {
    total: (after.total - before.total) / deliveries,
    engine: (after.engine - before.engine) / deliveries,
    perSecond: (1_000 * deliveries) / wallMs,
  };
}

async function measureFlood(cluster, size, seconds) {
  const startMs = performance.now();
  let wallMs = 0;
  let deliveries = 0;
  while (wallMs < 1_000 * seconds) {
    await cluster.publish({ count: UNDER_WAY / size, size });
    deliveries += UNDER_WAY;
    wallMs = performance.now() - startMs;
  }
  return (1_000 * deliveries) / wallMs;
}

async function* measureOne(cluster, { steadySeconds }) {
  const { name } = cluster;
  for (const size of Object.keys(STEADY).map(Number)) {
    const { total, engine, perSecond } = await measureSteadily(cluster, size, steadySeconds);
    yield { row: `cluster-total-${size}`, name, value: total };
    yield { row: `cluster-engine-${size}`, name, value: engine };
    yield { row: `cluster-steady-${size}`, name, value: perSecond };
  }
  for (const size of FLOODED) {
    yield { row: `cluster-flood-${size}`, name, value: await measureFlood(cluster, size, steadySeconds / 2) };
  }
}

/** Compiles what is measured, and brings the heaps to their size. */
async function openCluster(cluster, workload) {
  await cluster.start(workload);
  for await (const _ of measureOne(cluster, workload));
}

async function* measureClusters(workload, engines) {
  const clusters = CLUSTER_COMPETITORS.map((name) => new Cluster(name, engineOf(name, engines)));
  try {
    for (const cluster of clusters) await openCluster(cluster, workload);
    for (let round = 0; round < workload.rounds; round++) {
      for (const cluster of clusters) yield* measureOne(cluster, workload);
      clusters.push(clusters.shift());
    }
  } finally {
    await Promise.all(clusters.map((cluster) => cluster.end()));
  }
}

/** Yields `{ row, name, value }` for each measurement, each kind of them on servers of its own. */
export async function* measureCluster({ clusters, appends, resubscribing }) {
  yield* onEngines((engines) => measureClusters(clusters, engines));
  yield* onEngines((engines) => measureAppends(appends, engines));
  yield* onEngines((engines) => measureResubscribing(resubscribing, engines));
}

/** Runs `work` with one competitor that is open and warm, on servers of its own. */
export async function withCluster(name, workload, work) {
  const engines = await startEngines();
  const cluster = new Cluster(name, engineOf(name, engines));
  try {
    await openCluster(cluster, workload);
    return await work(cluster);
  } finally {
    await cluster.end();
    await endEngines(engines);
  }
}
