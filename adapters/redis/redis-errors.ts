// What went wrong with a call, as our errors: by the code of the server's reply, and without what was sent.

import { UsercastError } from '../../src/index.ts';
import { isCertificateError } from '../../src/tls-errors.ts';

/** The first word of the server's reply, or null for an error of the connection. */
export function replyCode(error: unknown): string | null {
  return /^-?([A-Z][A-Z0-9]+)(?: |$)/.exec(error instanceof Error ? error.message : '')?.[1] ?? null;
}

/** A call that got one of these is made again within its deadline. MOVED and ASK say where. */
const PASSING = new Set(['LOADING', 'TRYAGAIN', 'READONLY', 'CLUSTERDOWN', 'MASTERDOWN', 'BUSY', 'MOVED', 'ASK']);

/** Whether the reason for such a reply may be gone in a moment. */
export function isPassing(code: string | null): boolean {
  return code !== null && PASSING.has(code);
}

/** `MOVED 3999 127.0.0.1:6381` and `ASK …`, taken apart; an empty host means the server that said it. */
export function redirection(error: unknown): { slot: number; host: string; port: number } | null {
  const words = /^(?:MOVED|ASK) (\d+) (.*):(\d+)/.exec(error instanceof Error ? error.message : '');
  return words ? { slot: Number(words[1]), host: words[2] ?? '', port: Number(words[3]) } : null;
}

/** What the server says of more than one line, or to somebody else; to an unknown command, what came with it: a password. */
const ASIDES = /, with args beginning|, otherwise the HELLO|\. If you want to connect/;

/**
 * The same failure without what the libraries hang on their errors: the words of the command, a password among them when it
 * was AUTH that failed.
 */
export function bare(cause: unknown): Error {
  const error = cause instanceof Error ? cause : new Error('unknown');
  // An AggregateError of several addresses has no message of its own.
  const message = error.message || String((error as NodeJS.ErrnoException).code ?? error.name);
  return new Error(message.split(ASIDES, 1)[0]!.slice(0, 200));
}

/** What to change where the server says no, by the first word of its reply. */
const ADVICE: Readonly<Record<string, string>> = {
  WRONGPASS: 'change the user or the password that url or the client has',
  NOAUTH: 'give the user and the password in url or to the client',
  NOPERM: 'allow it in the ACL of the user',
};

/** For a reply that another attempt would get again. */
export function refused(cause: unknown): UsercastError {
  const plain = bare(cause);
  const advice = ADVICE[replyCode(plain) ?? ''];
  const message = `redis refused: ${plain.message.replace(/\.$/, '')}${advice ? `; ${advice}` : ''}`;
  return new UsercastError('broker_unavailable', message, { cause: plain });
}

/** Why no connection can be made until something is changed. Those who wait for one are told at once. */
export class RedisRefusal extends UsercastError {
  constructor(message: string, cause: Error) {
    super('broker_unavailable', message, { cause });
  }
}

/** Why a connection could not be made: a `RedisRefusal` where the next attempt would end alike. */
export function unconnected(cause: unknown): Error {
  if (cause instanceof RedisRefusal) return cause;
  const plain = bare(cause);
  const { code: name = '', reason } = (cause ?? {}) as { readonly code?: unknown; readonly reason?: unknown };
  if (isCertificateError(name)) {
    const advice = 'name its CA in NODE_EXTRA_CA_CERTS, or pass your own client with TLS options';
    return new RedisRefusal(`the certificate of redis was refused: ${plain.message}; ${advice}`, plain);
  }
  if (typeof reason === 'string' && /ERR_SSL_/.test(String(name))) {
    const advice = 'use redis:// for a server without TLS, or pass your own client with TLS options';
    return new RedisRefusal(`TLS with redis failed: ${reason}; ${advice}`, new Error(reason));
  }
  const code = replyCode(plain);
  const isFull = /max number of clients/.test(plain.message);
  if (code === null || isPassing(code) || code === 'MISCONF' || isFull) return plain;
  const { message } = refused(plain);
  return new RedisRefusal(message, plain);
}

/** For a call that found no connection, or lost it. */
export function unreachable(cause: Error | null): UsercastError {
  const because = cause ? `: ${cause.message}` : '';
  return new UsercastError('broker_unavailable', `redis cannot be reached${because}`, cause ? { cause } : {});
}

/** For a call after `close`, or that `close` found in flight. */
export function closedError(): UsercastError {
  return new UsercastError('closed', 'the connection to redis was closed');
}
