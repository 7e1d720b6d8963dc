// The names of everything in Redis. All that belongs to one partition carries its hash tag, so that one script may touch
// it on a cluster; users are spread over the partitions by their id.

/** What all names of a partition begin with: its hash tag. */
export function partitionPrefix(prefix: string, index: number): string {
  return `{${prefix}:${index}}:`;
}

/** How many partitions there are where the host does not say. */
export function defaultPartitions(isCluster: boolean): number {
  return isCluster ? 32 : 1;
}

/** The names of one partition. */
export class Partition {
  /** The partition's generation, which is the epoch of every stream in it, and how many calls have appended. */
  readonly generation: string;
  readonly #base: string;
  readonly #channels: string;

  constructor(prefix: string, index: number, database: number) {
    this.#base = partitionPrefix(prefix, index);
    this.#channels = `${this.#base}${database}:`;
    this.generation = `${this.#base}g`;
  }

  /** How many calls of this process Redis has carried out. */
  writes(processName: string): string {
    return `${this.#base}w:${processName}`;
  }

  /** A user's counts, and the epoch, tag and offset of the newest entry. */
  user(userId: string): string {
    return `${this.#base}u:${userId}`;
  }

  stream(userId: string): string {
    return `${this.#base}s:${userId}`;
  }

  /** A payload that several streams share, by what names it in their entries, which is anything but empty. */
  payload(tag: string, name: string): string {
    return `${this.#base}p:${tag}${name}`;
  }

  marks(userId: string): string {
    return `${this.#base}m:${userId}`;
  }

  /** Who has got a message, for as long as its id is remembered. */
  record(messageId: string): string {
    return `${this.#base}d:${messageId}`;
  }

  /** Channels know no database, so their names do. */
  channel(userId: string): string {
    return this.channelPrefix + userId;
  }

  /** What is before the user id in the name of a channel. */
  get channelPrefix(): string {
    return `${this.#channels}u:`;
  }

  /** Of all processes that have a subscriber in this partition. */
  get commonChannel(): string {
    return `${this.#channels}a`;
  }

  probe(processName: string): string {
    return `${this.#channels}p:${processName}`;
  }
}

/** FNV-1a over the UTF-16 code units: the same user is in the same partition for every process. */
export function partitionOf(userId: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < userId.length; i++) hash = Math.imul(hash ^ userId.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % partitions;
}
