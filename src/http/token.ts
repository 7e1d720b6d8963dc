// Where a client may put its access token, and how the token leaves `req.url` before a logger of the host sees it.

import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { Refusal } from '../protocol/refusals.ts';

const PARAMETER = 'access_token';
const BEARER_PROTOCOL = 'usercast.bearer.';
const BASE64URL = /^[A-Za-z0-9_-]+$/;
const BEARER = /^bearer +/i;

/** What was taken out of a request: the token as it was spelled, and the `url` that it was in. */
const taken = new WeakMap<IncomingMessage, { readonly token: string; readonly url: string | undefined }>();

/** A request as frameworks hand it on: Express and Koa keep the target of before their mounts in `originalUrl`. */
export interface MountedRequest extends IncomingMessage {
  originalUrl?: string;
}

/** The request target that the client sent, whatever a mount made of `url`. */
export function targetOf(req: MountedRequest): string {
  return req.originalUrl ?? req.url ?? '';
}

/** Takes every `access_token` out of the request's target and keeps the first for `tokenOf`. */
export function takeQueryToken(req: MountedRequest): void {
  const sentUrl = req.url;
  const url = cut(req.url);
  if (url) req.url = url.target;
  const originalUrl = cut(req.originalUrl);
  if (originalUrl) req.originalUrl = originalUrl.target;
  const first = originalUrl ?? url;
  if (first && !taken.has(req)) taken.set(req, { token: first.token, url: sentUrl });
}

/** The `url` as it came, with what was taken out of it. */
export function sentUrlOf(req: IncomingMessage): string {
  return taken.get(req)?.url ?? req.url ?? '';
}

/** The target without its `access_token` parameters, every other byte as it was; null where there is none. */
function cut(target: string | undefined): { readonly target: string; readonly token: string } | null {
  const question = target?.indexOf('?') ?? -1;
  if (target === undefined || question === -1) return null;
  const parameters = target.slice(question + 1).split('&');
  const others = parameters.filter((parameter) => !isToken(parameter));
  if (others.length === parameters.length) return null;
  const token = parameters.find(isToken)!.split('=').slice(1).join('=');
  const path = target.slice(0, question);
  return { target: others.length === 0 ? path : `${path}?${others.join('&')}`, token };
}

function isToken(parameter: string): boolean {
  const equals = parameter.indexOf('=');
  const name = equals === -1 ? parameter : parameter.slice(0, equals);
  if (name === PARAMETER) return true;
  return name.includes('%') && percentDecoded(name) === PARAMETER;
}

function percentDecoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/**
 * The access token of a request: from the Authorization header, else from an offered subprotocol, else from the query.
 * Call `takeQueryToken` before.
 * @param protocols the offered WebSocket subprotocols
 * @throws Refusal `token_invalid` when the encoding of the one that counts is broken.
 * @see RFC 6750 section 2
 */
export function tokenOf(req: IncomingMessage, protocols: readonly string[]): string | undefined {
  const { authorization } = req.headers;
  if (authorization !== undefined && BEARER.test(authorization)) return authorization.replace(BEARER, '');
  for (const protocol of protocols) {
    if (protocol.startsWith(BEARER_PROTOCOL)) return fromBase64Url(protocol.slice(BEARER_PROTOCOL.length));
  }
  const spelled = taken.get(req)?.token;
  if (spelled === undefined) return undefined;
  // A space has no place in a token: a "+" is one that the client did not encode.
  const token = percentDecoded(spelled);
  if (token === null) throw new Refusal('token_invalid', `the parameter ${PARAMETER} is badly percent-encoded`);
  return token;
}

function fromBase64Url(encoded: string): string {
  const bytes = Buffer.from(encoded, 'base64url');
  if (!BASE64URL.test(encoded) || encoded.length % 4 === 1 || !isUtf8(bytes)) {
    throw new Refusal('token_invalid', `the subprotocol ${BEARER_PROTOCOL}… must end with the token in base64url`);
  }
  return bytes.toString('utf8');
}

/** The first query parameter of this name, percent-decoded; null where there is none, and as it is where it is badly encoded. */
export function queryParameter(req: IncomingMessage, name: string): string | null {
  const target = targetOf(req);
  const question = target.indexOf('?');
  if (question === -1) return null;
  for (const parameter of target.slice(question + 1).split('&')) {
    if (!parameter.startsWith(name) || (parameter.length > name.length && parameter[name.length] !== '=')) continue;
    const value = parameter.slice(name.length + 1);
    return percentDecoded(value) ?? value;
  }
  return null;
}
