// Which requests are ours: one comparison of the request target with the compiled `path` option. The gate and
// `handleRequest` ask it for every request of the host's server, so a miss allocates nothing.

import { isId, MAX_ID_LENGTH } from '../protocol/ids.ts';
import { Refusal } from '../protocol/refusals.ts';

const ENDPOINT_METHODS = { ws: 'GET', sse: 'GET', messages: 'GET', counts: 'GET', ack: 'POST' } as const;

/** The endpoints under `path`, by their last segment. */
export type Endpoint = keyof typeof ENDPOINT_METHODS;

/** A request target that is ours. */
export interface Target {
  readonly endpoint: Endpoint;
  /** The user id as the path spells it, for `decodeUserId`. */
  readonly rawUserId: string;
}

/** The one method that an endpoint takes. */
export function methodOf(endpoint: Endpoint): string {
  return ENDPOINT_METHODS[endpoint];
}

const USER_ID = ':id';
const ABSOLUTE_FORM = /^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i;
const SLASH = 0x2f;

/** The `path` option, compiled. */
export class Endpoints {
  readonly #prefix: string;
  readonly #tails: readonly { readonly endpoint: Endpoint; readonly tail: string }[];

  /** @param path the checked option: absolute, with one `:id` */
  constructor(path: string) {
    const at = path.indexOf(USER_ID);
    const suffix = path.slice(at + USER_ID.length);
    this.#prefix = path.slice(0, at);
    this.#tails = (Object.keys(ENDPOINT_METHODS) as Endpoint[]).map((endpoint) => ({
      endpoint,
      tail: `${suffix}/${endpoint}`,
    }));
  }

  /** The endpoint that a request target names, or null: then the request is the host's. */
  match(target: string): Target | null {
    const start = pathStart(target);
    if (!target.startsWith(this.#prefix, start)) return null;
    const idStart = start + this.#prefix.length;
    const end = pathEnd(target);
    for (const { endpoint, tail } of this.#tails) {
      const idEnd = end - tail.length;
      if (idEnd < idStart || !target.endsWith(tail, end)) continue;
      const slash = target.indexOf('/', idStart);
      if (slash < idEnd && slash !== -1) return null;
      return { endpoint, rawUserId: target.slice(idStart, idEnd) };
    }
    return null;
  }
}

/** Where the path of a request target begins; a proxy may send it in absolute form. @see RFC 9112 section 3.2.2 */
function pathStart(target: string): number {
  if (target.charCodeAt(0) === SLASH) return 0;
  return ABSOLUTE_FORM.exec(target)?.[0].length ?? 0;
}

function pathEnd(target: string): number {
  const query = target.indexOf('?');
  return query === -1 ? target.length : query;
}

/**
 * The user id that the path names.
 * @throws Refusal `malformed_user_id` when it is empty, over 256 characters or badly percent-encoded.
 */
export function decodeUserId(rawUserId: string): string {
  let userId = rawUserId;
  if (rawUserId.includes('%')) {
    try {
      userId = decodeURIComponent(rawUserId);
    } catch {
      throw new Refusal('malformed_user_id', 'the user id in the path is badly percent-encoded');
    }
  }
  if (userId === '') throw new Refusal('malformed_user_id', 'the user id in the path is empty');
  if (!isId(userId)) {
    throw new Refusal('malformed_user_id', `the user id in the path is over ${MAX_ID_LENGTH} characters`);
  }
  return userId;
}
