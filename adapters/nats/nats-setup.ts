// What the broker needs of NATS: the server's version, a stream and two buckets. Made where they are missing; what is there
// already is compared with what the guarantees need, as the server echoes it: old servers drop silently what they do not know.

import { ensureStream, JetStreamError, type StreamConfig, type StreamInfo } from './jetstream.ts';
import type { ResolvedNatsBrokerOptions } from './nats-broker-options.ts';
import { NO_RESPONDERS } from './nats-calls.ts';
import type { NatsCaller } from './nats-link.ts';
import type { NatsNames } from './nats-names.ts';
import { SetupRefusal } from './setup-refusal.ts';

const OLDEST = [2, 9] as const;
const NANOSECONDS = 1_000_000;
/** Errors that say that the server or the account has no JetStream. */
const NOT_ENABLED: ReadonlySet<number> = new Set([10_039, 10_076]);

/** The cursor's own entry must still be there when as many newer ones are. */
export function entriesPerUser(messages: number): number {
  return messages + 1;
}

function streamConfig(names: NatsNames, options: ResolvedNatsBrokerOptions): StreamConfig {
  return {
    name: names.stream,
    subjects: [`${names.entries}*`],
    retention: 'limits',
    storage: 'file',
    discard: 'old',
    max_msgs: -1,
    max_bytes: -1,
    max_msgs_per_subject: entriesPerUser(options.history.messages),
    max_age: options.proofMs * NANOSECONDS,
    duplicate_window: options.deduplicationMs * NANOSECONDS,
    num_replicas: options.replicas,
    allow_direct: true,
    republish: { src: `${names.entries}>`, dest: `${names.live}>` },
  };
}

/** A key-value bucket with one value per key, as the client libraries and the command line make it. */
function bucketConfig(name: string, maxAgeMs: number, replicas: number): StreamConfig {
  return {
    name,
    subjects: [`$KV.${name.slice('KV_'.length)}.>`],
    retention: 'limits',
    storage: 'file',
    discard: 'new',
    max_msgs: -1,
    max_bytes: -1,
    max_msgs_per_subject: 1,
    max_age: maxAgeMs * NANOSECONDS,
    num_replicas: replicas,
    allow_direct: true,
    allow_rollup_hdrs: true,
    deny_delete: true,
  };
}

/**
 * Sees to it that all is there. Several processes may do it at once. `wasThere`: this process has found it before.
 * @throws SetupRefusal that says what to change; JetStreamError and UsercastError where NATS does not answer
 */
export async function setUp(
  caller: NatsCaller,
  names: NatsNames,
  options: ResolvedNatsBrokerOptions,
  wasThere: boolean,
): Promise<StreamInfo> {
  checkVersion(caller.connection.info?.version ?? '');
  try {
    const { marksMs, replicas } = options;
    const [stream, marks, control] = await Promise.all([
      ensureStream(caller, streamConfig(names, options), { wasThere }),
      ensureStream(caller, bucketConfig(names.marks, marksMs, replicas), { wasThere }),
      ensureStream(caller, bucketConfig(names.control, 0, replicas), { wasThere }),
    ]);
    refuse('stream', names.stream, [
      ...wrongInAny(stream.config, streamConfig(names, options)),
      ...wrongInStream(stream.config, streamConfig(names, options)),
    ]);
    refuse('bucket', names.marks, wrongInAny(marks.config, bucketConfig(names.marks, marksMs, replicas)));
    refuse('bucket', names.control, wrongInAny(control.config, bucketConfig(names.control, 0, replicas)));
    return stream;
  } catch (cause) {
    throw explained(cause, caller);
  }
}

function checkVersion(version: string): void {
  const [major = NaN, minor = NaN] = version.split('.').map(Number);
  if (Number.isNaN(major) || Number.isNaN(minor)) return;
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return;
  throw new SetupRefusal(`the NATS server is version ${version}; usercast/nats needs ${OLDEST.join('.')} or later`);
}

function explained(cause: unknown, { connection }: NatsCaller): unknown {
  if (!(cause instanceof JetStreamError)) return cause;
  if (NOT_ENABLED.has(cause.code) || (cause.status === NO_RESPONDERS && !connection.info?.jetstream)) {
    return new SetupRefusal('JetStream is not enabled on the NATS server, or not for this account', cause);
  }
  if (cause.isPassing) return cause;
  return new SetupRefusal(`JetStream refused to make or describe what the broker needs: ${cause.message}`, cause);
}

type Wrong = string;

/** What holds for the stream and for the buckets. */
function wrongInAny(is: StreamConfig, wanted: StreamConfig): Wrong[] {
  const wrong: Wrong[] = [];
  const must = (holds: boolean, setting: keyof StreamConfig, rule: string): void => {
    if (!holds) wrong.push(`${setting} is ${JSON.stringify(is[setting] ?? null)} and must be ${rule}`);
  };
  must(is.subjects?.length === 1 && is.subjects[0] === wanted.subjects![0], 'subjects', show(wanted.subjects));
  must(is.retention === wanted.retention, 'retention', show(wanted.retention));
  must(is.storage === wanted.storage, 'storage', show(wanted.storage));
  must(isUnlimited(is.max_msgs), 'max_msgs', '-1: one user would push out the history of another');
  must(isUnlimited(is.max_bytes), 'max_bytes', '-1: one user would push out the history of another');
  must((is.num_replicas ?? 1) >= wanted.num_replicas!, 'num_replicas', `at least ${wanted.num_replicas}`);
  must(is.allow_direct === true, 'allow_direct', 'true');
  must(
    isUnlimited(is.max_age) || (wanted.max_age! > 0 && is.max_age! >= wanted.max_age!),
    'max_age',
    wanted.max_age === 0 ? '0' : `at least ${wanted.max_age} (nanoseconds)`,
  );
  must(!is.sealed, 'sealed', 'false');
  must(!is.no_ack, 'no_ack', 'false');
  must(!is.mirror, 'mirror', 'absent');
  must(!is.sources?.length, 'sources', 'absent');
  must(!is.subject_transform, 'subject_transform', 'absent');
  return wrong;
}

function wrongInStream(is: StreamConfig, wanted: StreamConfig): Wrong[] {
  const wrong: Wrong[] = [];
  const must = (holds: boolean, setting: keyof StreamConfig, rule: string): void => {
    if (!holds) wrong.push(`${setting} is ${JSON.stringify(is[setting] ?? null)} and must be ${rule}`);
  };
  const perSubject = is.max_msgs_per_subject;
  must(is.discard === wanted.discard, 'discard', show(wanted.discard));
  must(!is.discard_new_per_subject, 'discard_new_per_subject', 'false');
  must(
    isUnlimited(perSubject) || perSubject! >= wanted.max_msgs_per_subject!,
    'max_msgs_per_subject',
    `at least ${wanted.max_msgs_per_subject}: history.messages and one`,
  );
  must(
    (is.duplicate_window ?? 0) >= wanted.duplicate_window!,
    'duplicate_window',
    `at least ${wanted.duplicate_window} (nanoseconds)`,
  );
  must(!is.deny_purge, 'deny_purge', 'false');
  const { src, dest } = wanted.republish!;
  must(
    is.republish?.src === src && is.republish?.dest === dest && !is.republish?.headers_only,
    'republish',
    `${show({ src, dest })}, with the payload`,
  );
  return wrong;
}

function isUnlimited(limit: number | undefined): boolean {
  return limit === undefined || limit <= 0;
}

function show(value: unknown): string {
  return JSON.stringify(value);
}

function refuse(what: string, name: string, wrong: readonly Wrong[]): void {
  if (wrong.length === 0) return;
  throw new SetupRefusal(
    `the ${what} ${name} is there with settings that would break the guarantees: ${wrong.join('; ')}; change them, or give natsBroker another stream and prefix`,
  );
}
