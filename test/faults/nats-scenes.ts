// What the fault tests on NATS have beside what all have: brokers that notice things soon, and an operator.

import { connect } from '@nats-io/transport-node';
import { natsNames, userToken } from '../../adapters/nats/nats-names.ts';
import type { BrokerSpec } from '../support/cluster/broker-spec.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { eventually } from '../support/raw-client.ts';
import type { NatsServer } from '../support/servers/nats.ts';
import type { NatsCluster } from '../support/servers/nats-cluster.ts';
import type { TcpProxy } from '../support/servers/tcp-proxy.ts';
import { DEADLINE_MS, PATIENT_MS, PROBE_MS, ROOMY } from './scenes.ts';

type NatsSpec = Extract<BrokerSpec, { kind: 'nats' }>;

export const STREAM = 'usercast';
const NAMES = natsNames(STREAM, STREAM);
/** No guarantee: when to stop waiting. */
const LED_WITHIN_MS = 60_000;

/** A broker that probes often, with counters beside it; on `stream`, and on subjects and a bucket of that name. */
export function natsAt(
  servers: string | readonly string[],
  options: Partial<NatsSpec['options']> = {},
  sabotage: readonly Sabotage[] = [],
): NatsSpec {
  const { deadlineMs = DEADLINE_MS, replicas = 1, stream = STREAM } = options;
  return {
    kind: 'nats',
    options: { probeMs: PROBE_MS, deadlineMs, prefix: stream, history: ROOMY, ...options, servers },
    counters: { deadlineMs, replicas, bucket: `${stream}-counters` },
    sabotage,
  };
}

/** The streams that a broker on `stream` and its counters are made of. */
export function streamsOf(stream: string): string[] {
  const { marks, control } = natsNames(stream, stream);
  return [stream, marks, control, `KV_${stream}-counters`];
}

export function natsUrl({ port }: TcpProxy): string {
  return `nats://127.0.0.1:${port}`;
}

/** By hand, past every process. @throws Error when NATS refuses it */
async function operate<T>({ url }: NatsServer, what: string, body: object = {}): Promise<T> {
  const connection = await connect({ servers: url });
  try {
    const answer = await connection.request(`$JS.API.${what}`, JSON.stringify(body), { timeout: PATIENT_MS });
    const { error, ...rest } = answer.json<{ error?: object }>();
    if (error) throw new Error(`${what}: ${answer.string()}`);
    return rest as T;
  } finally {
    await connection.close();
  }
}

export async function deleteStream(server: NatsServer): Promise<void> {
  await operate(server, `STREAM.DELETE.${STREAM}`);
}

/** Erases the history of a user. */
export async function purge(server: NatsServer, userId: string): Promise<void> {
  await operate(server, `STREAM.PURGE.${STREAM}`, { filter: `${NAMES.entries}${userToken(userId)}` });
}

/** How many entries NATS has stored in all. */
export async function storedIn(server: NatsServer): Promise<number> {
  const { state } = await operate<{ state: { last_seq: number } }>(server, `STREAM.INFO.${STREAM}`);
  return state.last_seq;
}

/** Has the stream's leader step down until this one leads. */
export async function leadBy(cluster: NatsCluster, wanted: NatsServer): Promise<void> {
  const isLeader = async (): Promise<boolean> => {
    const leader = await cluster.leaderOf(STREAM);
    if (leader && leader !== wanted) await operate(wanted, `STREAM.LEADER.STEPDOWN.${STREAM}`);
    return leader === wanted;
  };
  await eventually('it leads', isLeader, LED_WITHIN_MS);
}
