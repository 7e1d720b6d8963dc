// Who the client is, behind the proxies that the host told us to believe. Everything else in `X-Forwarded-…` is
// whatever a client cared to send, and is not looked at.

import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv4 } from 'node:net';
import type { TrustProxy } from '../options.ts';

const MAPPED_IPV4 = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i;
const WITH_PORT = /^(?:\[([^\]]+)\]|([\d.]+))(?::\d+)?$/;

/** Is the hop with this address, `distance` proxies away, one that we believe? */
type Trust = (address: string, distance: number) => boolean;

/** The `trustProxy` option, compiled. */
export class ClientAddress {
  readonly #trusts: Trust | null;

  /** @throws TypeError for an entry that is neither an address nor a CIDR range. */
  constructor(trustProxy: TrustProxy) {
    this.#trusts = compile(trustProxy);
  }

  /** The client's address: the nearest hop that is no trusted proxy. Empty when the socket is gone. */
  of(req: IncomingMessage): string {
    let address = plain(req.socket.remoteAddress ?? '');
    const forwarded = this.#trusts && req.headers['x-forwarded-for'];
    if (!this.#trusts || typeof forwarded !== 'string') return address;
    const hops = forwarded.split(',');
    for (let distance = 0; this.#trusts(address, distance) && hops.length > 0; distance++) {
      const hop = withoutPort(hops.pop()!.trim());
      // What lies behind an unreadable hop was written by nobody that we know.
      if (hop === null) break;
      address = hop;
    }
    return address;
  }

  /** The host that the client asked for. */
  hostOf(req: IncomingMessage): string | undefined {
    const { host } = req.headers;
    const forwarded = req.headers['x-forwarded-host'];
    if (!this.#trusts || typeof forwarded !== 'string') return host;
    if (!this.#trusts(plain(req.socket.remoteAddress ?? ''), 0)) return host;
    return forwarded.split(',', 1)[0]!.trim();
  }
}

function compile(trustProxy: TrustProxy): Trust | null {
  if (trustProxy === false || trustProxy === 0) return null;
  if (typeof trustProxy === 'number') return (_address, distance) => distance < trustProxy;
  const proxies = new BlockList();
  for (const entry of trustProxy) add(proxies, entry);
  return (address) => address !== '' && proxies.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
}

function add(proxies: BlockList, entry: string): void {
  const [address = '', bits] = entry.split('/');
  const family = isIP(address);
  const prefix = bits === undefined || bits === '' ? Number.NaN : Number(bits);
  const isRange = bits !== undefined;
  if (family === 0 || (isRange && !(Number.isInteger(prefix) && prefix >= 0 && prefix <= (family === 4 ? 32 : 128)))) {
    throw new TypeError(`trustProxy must list addresses and CIDR ranges such as "10.0.0.0/8", got "${entry}"`);
  }
  const type = family === 4 ? 'ipv4' : 'ipv6';
  if (isRange) proxies.addSubnet(address, prefix, type);
  else proxies.addAddress(address, type);
}

/** IPv4 as such, also where the server listens on IPv6 as well. */
function plain(address: string): string {
  return address.startsWith('::') ? address.replace(MAPPED_IPV4, '') : address;
}

/** Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(hop: string): string | null {
  if (isIP(hop) !== 0) return plain(hop);
  const parts = WITH_PORT.exec(hop);
  const address = parts?.[1] ?? parts?.[2];
  return address !== undefined && isIP(address) !== 0 ? plain(address) : null;
}
