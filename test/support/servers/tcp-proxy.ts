// A wire between clients and a server that a test can cut, hold up, or let swallow what is sent in one direction.

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** `up`: from clients to the server. `down`: from the server to clients. */
export type Direction = 'up' | 'down';

/** What becomes of the bytes of a direction: they `pass`, are swallowed (`drop`), or wait (`pause`). */
export type Flow = 'pass' | 'drop' | 'pause';

/** Which connections: those of now, new ones too, or those of now whose port on the server's side it says yes to. */
export type Which = 'open' | 'all' | ((port: number) => boolean);

interface Wire {
  readonly source: Socket;
  readonly target: Socket;
  readonly direction: Direction;
  flow: Flow;
}

export class TcpProxy {
  /** Connections that clients made so far. */
  accepted = 0;
  #target: number;
  #refuses = false;
  readonly #flows: Record<Direction, Flow> = { up: 'pass', down: 'pass' };
  readonly #wires = new Set<Wire>();
  readonly #server = createServer((socket) => this.#accept(socket));

  constructor(target: number) {
    this.#target = target;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#wires.size / 2;
  }

  async start(port = 0): Promise<this> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  /** Bytes of this direction are swallowed, and the connections stay open. */
  drop(direction: Direction, which: Which = 'all'): void {
    this.#set(direction, 'drop', which);
  }

  /** Bytes of this direction wait until `pass`. */
  pause(direction: Direction, which: Which = 'all'): void {
    this.#set(direction, 'pause', which);
  }

  /** Everything goes through from here; what was swallowed stays lost, so connections that it hit are best cut. */
  pass(): void {
    for (const direction of ['up', 'down'] as const) this.#set(direction, 'pass', 'all');
  }

  /** Ends every connection; new ones are taken. */
  cutAll(): void {
    for (const { source } of this.#wires) source.destroy();
  }

  /** Ends new connections at once; open ones stay. */
  refuse(): void {
    this.#refuses = true;
  }

  /** Ends every connection and takes no new one. */
  cut(): void {
    this.refuse();
    this.cutAll();
  }

  /** Takes connections again, to another server where there is one. */
  mend(target = this.#target): void {
    this.#target = target;
    this.#refuses = false;
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #set(direction: Direction, flow: Flow, which: Which): void {
    if (which === 'all') this.#flows[direction] = flow;
    for (const wire of this.#wires) {
      if (wire.direction !== direction) continue;
      const { localPort = 0 } = direction === 'up' ? wire.target : wire.source;
      if (typeof which === 'function' && !which(localPort)) continue;
      wire.flow = flow;
      if (flow === 'pause') wire.source.pause();
      else wire.source.resume();
    }
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    client.on('error', () => {});
    if (this.#refuses) {
      client.destroy();
      return;
    }
    const server = connect(this.#target, '127.0.0.1');
    this.#join(client, server, 'up');
    this.#join(server, client, 'down');
  }

  #join(source: Socket, target: Socket, direction: Direction): void {
    const wire: Wire = { source, target, direction, flow: this.#flows[direction] };
    this.#wires.add(wire);
    source.setNoDelay(true);
    source.on('data', (bytes) => {
      if (wire.flow === 'drop' || target.write(bytes)) return;
      source.pause();
    });
    target.on('drain', () => {
      if (wire.flow !== 'pause') source.resume();
    });
    source.on('end', () => target.end());
    source.on('error', () => {});
    source.on('close', () => {
      this.#wires.delete(wire);
      target.destroy();
    });
    if (wire.flow === 'pause') source.pause();
  }
}
