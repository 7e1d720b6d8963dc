// What the fault tests on NATS have beside what those on Redis have: brokers that notice things soon, and an operator.

import { connect } from '@nats-io/transport-node';
import { natsNames, userToken } from '../../adapters/nats/nats-names.ts';
import type { BrokerSpec } from '../support/cluster/broker-spec.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import type { Scene } from '../support/cluster/scene.ts';
import { violationsOf } from '../support/invariants.ts';
import type { NatsServer } from '../support/servers/nats.ts';
import type { TcpProxy } from '../support/servers/tcp-proxy.ts';
import { DEADLINE_MS, PROBE_MS, type Travellers } from './redis-scenes.ts';

type NatsSpec = Extract<BrokerSpec, { kind: 'nats' }>;

export const STREAM = 'usercast';
const NAMES = natsNames(STREAM, STREAM);
/** What a user's history has room for: all that waits for NATS to come back comes at once. */
export const ROOMY = { history: { messages: 1_000 } } as const;

/** A broker that probes often, with counters beside it; on `stream`, and on subjects and a bucket of that name. */
export function natsAt(
  servers: string | readonly string[],
  options: Partial<NatsSpec['options']> = {},
  sabotage: readonly Sabotage[] = [],
): NatsSpec {
  const { deadlineMs = DEADLINE_MS, replicas = 1, stream = STREAM } = options;
  return {
    kind: 'nats',
    options: { probeMs: PROBE_MS, deadlineMs, prefix: stream, ...options, servers },
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

/** By hand, past every process. */
async function operate({ url }: NatsServer, what: string, body: object = {}): Promise<void> {
  const connection = await connect({ servers: url });
  try {
    const answer = await connection.request(`$JS.API.${what}`, JSON.stringify(body));
    if (!answer.json<{ success?: boolean }>().success) throw new Error(`${what}: ${answer.string()}`);
  } finally {
    await connection.close();
  }
}

export function deleteStream(server: NatsServer): Promise<void> {
  return operate(server, `STREAM.DELETE.${STREAM}`);
}

/** Erases the history of a user. */
export function purge(server: NatsServer, userId: string): Promise<void> {
  return operate(server, `STREAM.PURGE.${STREAM}`, { filter: `${NAMES.entries}${userToken(userId)}` });
}

/** What is wrong with what travellers have seen, once they are caught up. Offsets of NATS leave room. */
export async function violationsIn({ publisher }: Scene, travellers: Travellers, withinMs?: number): Promise<string[]> {
  const nowMs = performance.now();
  await travellers.violations(withinMs);
  const accepted = publisher.accepted.filter(({ doneMs = nowMs }) => doneMs < nowMs);
  const witnesses = travellers.clients.map(({ witness }) => witness);
  return violationsOf({ accepted, witnesses, tops: new Map(), counts: new Map(), dense: false, exactCounts: false });
}
