// Clients of the HTTP endpoints: an event stream that keeps what comes and can stop reading, and long polls.

import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Refused, type Site, tokenFor } from './fixture.ts';
import { eventually } from './raw-client.ts';

const WITHIN_MS = 10_000;

/** A message as it came, with the `id:` of its event. */
export interface StreamedMessage {
  readonly id?: string;
  readonly type: string;
  readonly object: Record<string, unknown>;
  readonly unread?: boolean;
}

export interface RequestParts {
  readonly userId: string;
  /** Default: a new one of the user's. */
  readonly token?: string;
  readonly query?: Readonly<Record<string, string | number>>;
  readonly headers?: Readonly<Record<string, string>>;
}

function requestOf(site: { readonly port: number }, endpoint: string, parts: RequestParts) {
  const { userId, token = tokenFor(userId), query = {}, headers = {} } = parts;
  const parameters = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return {
    url: `http://127.0.0.1:${site.port}/box-users/${encodeURIComponent(userId)}/${endpoint}?${parameters.join('&')}`,
    headers: { authorization: `Bearer ${token}`, ...headers },
  };
}

/** An open event stream. */
export class EventStream {
  readonly response: IncomingMessage;
  readonly messages: StreamedMessage[] = [];
  /** What came as it came. */
  text = '';
  /** `end`: the server said that it is over; `cut`: it did not. */
  readonly over: Promise<'end' | 'cut'>;
  #parsed = 0;
  #read = 0;

  constructor(response: IncomingMessage) {
    this.response = response;
    response.setEncoding('utf8').on('data', (chunk: string) => {
      this.text += chunk;
      this.#parse();
    });
    response.on('error', () => {});
    this.over = new Promise((resolve) => response.once('close', () => resolve(response.complete ? 'end' : 'cut')));
  }

  /** The next message that was not asked for yet. */
  async next(withinMs = WITHIN_MS): Promise<StreamedMessage> {
    await eventually('a message', () => this.messages.length > this.#read, withinMs);
    return this.messages[this.#read++]!;
  }

  /** The client leaves. */
  leave(): void {
    this.response.destroy();
  }

  #parse(): void {
    for (;;) {
      const end = this.text.indexOf('\n\n', this.#parsed);
      if (end === -1) return;
      const lines = this.text.slice(this.#parsed, end).split('\n');
      this.#parsed = end + 2;
      const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field('data');
      const id = field('id');
      if (data !== undefined) this.messages.push({ ...(id === undefined ? {} : { id }), ...JSON.parse(data) });
    }
  }
}

/** Resolves when the answer has begun. @throws Refused */
export function openStream(site: { readonly port: number }, parts: RequestParts): Promise<EventStream> {
  const { url, headers } = requestOf(site, 'sse', parts);
  return new Promise((resolve, reject) => {
    const request = get(url, { headers, agent: false }, async (response) => {
      if (response.statusCode === 200) {
        resolve(new EventStream(response));
        return;
      }
      let body = '';
      for await (const chunk of response) body += chunk;
      reject(new Refused(response, body));
    });
    request.on('error', reject);
  });
}

/** More than the operating system takes for a client that does not read. */
const FLOOD = { messages: 75, object: { text: 'x'.repeat(400_000) } };
/** So many looks in a row that see nothing move mean that nothing will. */
const STILL = 20;

/** An open event stream whose client has stopped to read, with more unsent than the operating system takes. */
export async function stalledStream(site: Site, parts: RequestParts): Promise<EventStream> {
  const connected = once(site.server, 'connection');
  const stream = await openStream(site, parts);
  const [socket] = (await connected) as [Socket];
  await stream.next();
  stream.response.pause();
  for (let i = 0; i < FLOOD.messages; i++) await site.usercast.notify(parts.userId, 'big', FLOOD.object);
  let still = 0;
  let left = -1;
  await eventually('nothing moves', () => {
    still = socket.writableLength > 0 && socket.writableLength === left ? still + 1 : 0;
    left = socket.writableLength;
    return still === STILL;
  });
  return stream;
}

/** The answer to a poll. */
export interface PollResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: {
    readonly messages: readonly {
      readonly type: string;
      readonly object: Record<string, unknown>;
      readonly cursor?: string;
      readonly unread?: boolean;
    }[];
    readonly cursor: string;
    readonly reset?: string;
    readonly title?: string;
    readonly detail?: string;
  };
}

export async function poll(
  site: { readonly port: number },
  { signal, ...parts }: RequestParts & { readonly signal?: AbortSignal },
): Promise<PollResponse> {
  const { url, headers } = requestOf(site, 'messages', parts);
  const response = await fetch(url, { headers, ...(signal && { signal }) });
  return { status: response.status, headers: response.headers, body: (await response.json()) as PollResponse['body'] };
}
