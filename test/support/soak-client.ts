// A client of the soak: holds one connection at a time, on any transport and server, and comes back with its cursor.

import { type Agent, type IncomingMessage, request } from 'node:http';
import { WebSocket } from 'ws';
import { EventStreamParser } from '../../src/protocol/event-stream.ts';
import { Witness } from './invariants.ts';

export const SOAK_TRANSPORTS = ['websocket', 'sse', 'poll'] as const;
export type SoakTransport = (typeof SOAK_TRANSPORTS)[number];

export interface SoakClientOptions {
  readonly userId: string;
  readonly token: string;
  readonly random: () => number;
  readonly agent: Agent;
}

/** Between attempts that are refused: as long as this, then twice as long, and so on to the longest. */
const PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 320;

export class SoakClient {
  readonly witness: Witness;
  /** Connections by transport that brought at least a cursor. */
  readonly connections: Record<SoakTransport, number> = { websocket: 0, sse: 0, poll: 0 };
  /** Those among them that the server ended, or that broke. */
  readonly lost: Record<SoakTransport, number> = { websocket: 0, sse: 0, poll: 0 };
  refused = 0;
  #pauseMs = PAUSE_MS;
  readonly #options: SoakClientOptions;
  #socket: WebSocket | null = null;

  constructor(options: SoakClientOptions) {
    this.#options = options;
    this.witness = new Witness(options.userId);
  }

  /** One connection until the signal aborts or the server ends it. Never rejects. */
  async connect(port: number, transport: SoakTransport, signal: AbortSignal): Promise<void> {
    const path = `/box-users/${encodeURIComponent(this.#options.userId)}`;
    const before = this.connections[transport];
    try {
      if (transport === 'websocket') await this.#webSocket(`ws://127.0.0.1:${port}${path}/ws`, signal);
      else if (transport === 'sse') await this.#eventStream(`http://127.0.0.1:${port}${path}/sse`, signal);
      else await this.#polls(`http://127.0.0.1:${port}${path}/messages`, signal);
    } catch {
      if (signal.aborted) return;
      const wasOpen = this.connections[transport] > before;
      if (wasOpen) this.lost[transport]++;
      else this.refused++;
      this.#pauseMs = wasOpen ? PAUSE_MS : Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
      await new Promise((resolve) => setTimeout(resolve, this.#pauseMs * (0.5 + this.#options.random() / 2)));
    }
  }

  /** Over the WebSocket that is open, if one is. */
  ack(boxId: string): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    const object = { sender_id: this.#options.userId, box_id: boxId };
    this.#socket.send(JSON.stringify({ type: 'ack', object }));
    return true;
  }

  get #headers(): Record<string, string> {
    return { Authorization: `Bearer ${this.#options.token}` };
  }

  get #query(): string {
    return this.witness.cursor === null ? '' : `cursor=${this.witness.cursor}`;
  }

  #webSocket(url: string, signal: AbortSignal): Promise<void> {
    const socket = new WebSocket(`${url}?${this.#query}`, ['usercast.v1'], { headers: this.#headers });
    this.#socket = socket;
    // What arrives after the client is gone was never seen.
    const cut = (): void => {
      socket.removeAllListeners('message');
      if (this.#options.random() < 0.5) socket.terminate();
      else socket.close();
    };
    signal.addEventListener('abort', cut, { once: true });
    return new Promise((resolve, reject) => {
      socket.once('message', () => this.connections.websocket++);
      socket.on('message', (data) => this.witness.take(JSON.parse(String(data))));
      socket.once('error', reject);
      socket.once('close', () => {
        signal.removeEventListener('abort', cut);
        if (signal.aborted) resolve();
        else reject(new Error('closed by the server'));
      });
    });
  }

  async #eventStream(url: string, signal: AbortSignal): Promise<void> {
    const { cursor } = this.witness;
    const headers = { ...this.#headers, ...(cursor !== null && { 'Last-Event-ID': cursor }) };
    const response = await this.#get(url, headers, signal);
    const parser = new EventStreamParser();
    response.setEncoding('utf8');
    let isFirst = true;
    for await (const piece of response) {
      for (const { data, id } of parser.push(String(piece))) {
        if (signal.aborted) return;
        if (isFirst) this.connections.sse++;
        isFirst = false;
        this.witness.take(JSON.parse(data), id);
      }
    }
    throw new Error('ended by the server');
  }

  async #polls(url: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const response = await this.#get(`${url}?wait=2&${this.#query}`, this.#headers, signal);
      let body = '';
      for await (const piece of response) body += piece;
      if (signal.aborted) return;
      const { messages, cursor, reset } = JSON.parse(body);
      this.connections.poll++;
      if (reset !== undefined) this.witness.reset(cursor, null, reset);
      this.witness.start(cursor);
      for (const message of messages) this.witness.take(message);
      this.witness.cursor = cursor;
    }
  }

  #get(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const req = request(url, { headers, signal, agent: this.#options.agent }, (response) => {
        if (response.statusCode === 200) resolve(response);
        else {
          response.resume();
          reject(new Error(`refused with ${response.statusCode}`));
        }
      });
      req.once('error', reject);
      req.end();
    });
  }
}
