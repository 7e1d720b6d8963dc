// Who listens in this process, and the channels that bring it to them.

import type { StreamListener, Unsubscribe } from '../../src/index.ts';
import type { Part } from './part.ts';
import type { RedisLink } from './redis-link.ts';
import { hand, handToAll } from './replies.ts';

export class LocalUsers {
  readonly #link: () => RedisLink;
  readonly #listeners = new Map<string, readonly StreamListener[]>();
  /** Whose own channel it is. */
  readonly #users = new Map<string, string>();
  /** The common channels that are subscribed to, or about to be: they stay until the end. */
  readonly #common = new Map<string, Promise<void>>();
  readonly #listenersOf = (userId: string) => this.#listeners.get(userId);

  constructor(link: () => RedisLink) {
    this.#link = link;
  }

  /** A message as it came on a channel. */
  take(channel: string, message: string): void {
    const userId = this.#users.get(channel);
    try {
      if (userId !== undefined) hand(message, this.#listeners.get(userId)!);
      else if (this.#common.has(channel)) handToAll(message, this.#listenersOf);
    } catch {
      // Not a message of ours: whatever it stands for is missing then, and looked for as after any other loss.
    }
  }

  /** Resolves when live. */
  async listen(part: Part, userId: string, listener: StreamListener): Promise<Unsubscribe> {
    const channel = part.channel(userId);
    this.#listeners.set(userId, [...(this.#listeners.get(userId) ?? []), listener]);
    this.#users.set(channel, userId);
    const leave = (): void => this.#leave(userId, channel, listener);
    try {
      await Promise.all([this.#join(part.commonChannel), this.#link().subscribe(channel)]);
      return leave;
    } catch (cause) {
      leave();
      throw cause;
    }
  }

  clear(): void {
    this.#listeners.clear();
    this.#users.clear();
  }

  #join(channel: string): Promise<void> {
    let joining = this.#common.get(channel);
    if (!joining) {
      joining = this.#link().subscribe(channel);
      this.#common.set(channel, joining);
      joining.catch(() => this.#common.delete(channel));
    }
    return joining;
  }

  #leave(userId: string, channel: string, listener: StreamListener): void {
    const listeners = this.#listeners.get(userId);
    if (!listeners?.includes(listener)) return;
    const others = listeners.filter((one) => one !== listener);
    if (others.length > 0) {
      this.#listeners.set(userId, others);
      return;
    }
    this.#listeners.delete(userId);
    this.#users.delete(channel);
    this.#link().unsubscribe(channel);
  }
}
