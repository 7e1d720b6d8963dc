// Who listens in this process, and the channels that bring it to them.

import type { StreamListener, Unsubscribe } from '../../src/index.ts';
import type { Part } from './part.ts';
import type { RedisLink } from './redis-link.ts';
import { hand, handToAll } from './replies.ts';

interface LocalUser {
  listeners: readonly StreamListener[];
}

export class LocalUsers {
  readonly #link: () => RedisLink;
  readonly #byUser = new Map<string, LocalUser>();
  readonly #byChannel = new Map<string, LocalUser>();
  /** The common channels that are subscribed to, or about to be: they stay until the end. */
  readonly #common = new Map<string, Promise<void>>();
  readonly #listenersOf = (userId: string) => this.#byUser.get(userId)?.listeners;

  constructor(link: () => RedisLink) {
    this.#link = link;
  }

  /** A message as it came on a channel. */
  take(channel: string, message: string): void {
    const user = this.#byChannel.get(channel);
    try {
      if (user) hand(message, user.listeners);
      else if (this.#common.has(channel)) handToAll(message, this.#listenersOf);
    } catch {
      // Not a message of ours: whatever it stands for is missing then, and looked for as after any other loss.
    }
  }

  /** Resolves when live. */
  async listen(part: Part, userId: string, listener: StreamListener): Promise<Unsubscribe> {
    const channel = part.channel(userId);
    const user = this.#byUser.get(userId) ?? { listeners: [] };
    user.listeners = [...user.listeners, listener];
    this.#byUser.set(userId, user);
    this.#byChannel.set(channel, user);
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
    this.#byUser.clear();
    this.#byChannel.clear();
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
    const user = this.#byUser.get(userId);
    if (!user?.listeners.includes(listener)) return;
    user.listeners = user.listeners.filter((one) => one !== listener);
    if (user.listeners.length > 0) return;
    this.#byUser.delete(userId);
    this.#byChannel.delete(channel);
    this.#link().unsubscribe(channel);
  }
}
