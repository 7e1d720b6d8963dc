// What things are called in NATS: subjects, buckets, message ids and epochs. Whatever a user id is made of, it becomes one
// token of letters, digits, `-` and `_`, so that no id is a pattern or reaches another's subject.

import { hash } from 'node:crypto';

const EPOCH_LENGTH = 16;
const MESSAGE_ID_LENGTH = 22;

/** The subjects and stream names of one broker. */
export interface NatsNames {
  readonly stream: string;
  /** Stream that holds the bucket of the disconnect marks. */
  readonly marks: string;
  /** Stream that holds the bucket with the generation. */
  readonly control: string;
  /** Where entries are published, with the user's token behind it. */
  readonly entries: string;
  /** Where entries arrive live, and what is not stored, with the user's token behind it. */
  readonly live: string;
  /** Where processes tell each other of a new generation. */
  readonly changed: string;
}

export function natsNames(stream: string, prefix: string): NatsNames {
  return {
    stream,
    marks: `KV_${stream}_marks`,
    control: `KV_${stream}_control`,
    entries: `${prefix}.s.`,
    live: `${prefix}.live.`,
    changed: `${prefix}.changed`,
  };
}

/** The subject of a key in a bucket. @see https://docs.nats.io/nats-concepts/jetstream/key-value-store */
export function keySubject(bucketStream: string, key: string): string {
  return `$KV.${bucketStream.slice('KV_'.length)}.${key}`;
}

/** The user's token. Two ids that differ have two tokens. */
export function userToken(userId: string): string {
  return Buffer.from(userId).toString('base64url');
}

/** What the server deduplicates by: one for each recipient and id. A digest, for the server keeps it in memory. */
export function messageId(token: string, id: string): string {
  return hash('sha256', `${token} ${id}`, 'base64url').slice(0, MESSAGE_ID_LENGTH);
}

/**
 * The id of what replaces a subject's newest message, `revision`, that has this content: the same for all who replace the
 * same one. Sequences alone come again where the leader is followed by a replica that has counted fewer, and their ids are
 * taken then.
 */
export function replacementId(subject: string, revision: number, replaced: Uint8Array): string {
  return `${subject} ${revision} ${hash('sha256', replaced, 'base64url').slice(0, MESSAGE_ID_LENGTH)}`;
}

/** The epoch of a user's stream while the stored streams are the `incarnation` that they are. */
export function epochOf(incarnation: string, token: string): string {
  return hash('sha256', `${incarnation} ${token}`, 'base64url').slice(0, EPOCH_LENGTH);
}
