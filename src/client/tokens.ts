// The access token of the moment: asked for when a connection or a refresh needs one, and given up when it is refused.

import { UsercastClientError } from './errors.ts';
import { isText, type TokenSource } from './options.ts';

export class Tokens {
  /** The one that the connection was opened or refreshed with. */
  current = '';
  readonly #source: string | TokenSource;
  readonly #failed: (error: UsercastClientError) => void;
  #isStale = false;
  #refusals = 0;

  constructor(source: string | TokenSource, failed: (error: UsercastClientError) => void) {
    this.#source = source;
    this.#failed = failed;
  }

  /** A string is all there is: the session ends with it. */
  get isFixed(): boolean {
    return typeof this.#source === 'string';
  }

  /** A token; null when the application's function failed or gave none. */
  async ask(renew = this.#isStale): Promise<string | null> {
    const source = this.#source;
    try {
      // Whoever makes a client first gets the time to listen to it.
      await null;
      if (typeof source === 'string') return source;
      const token = await source({ renew });
      if (isText(token)) return token;
      this.#failed(new UsercastClientError('token_failed', 'the token function gave no string'));
    } catch (cause) {
      this.#failed(new UsercastClientError('token_failed', 'the token function threw', { cause }));
    }
    return null;
  }

  /** The server took it. */
  accept(): void {
    this.#isStale = false;
    this.#refusals = 0;
  }

  /** The server refused it. Returns whether it is time to tell: once, for the first may have been only a bit too new. */
  refuse(): boolean {
    this.#isStale = true;
    return ++this.#refusals === 2;
  }
}
