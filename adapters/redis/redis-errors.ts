// What went wrong with a call, as our errors: by the code of the server's reply, and without what was sent.

import { UsercastError } from '../../src/index.ts';

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

/**
 * The same failure without what the libraries hang on their errors: the words of the command, a password among them when it
 * was AUTH that failed.
 */
export function bare(cause: unknown): Error {
  const error = cause instanceof Error ? cause : new Error('unknown');
  // An AggregateError of several addresses has no message of its own.
  const message = error.message || String((error as NodeJS.ErrnoException).code ?? error.name);
  // To an unknown command the server says what came with it: for HELLO and AUTH, the password.
  return new Error(message.split(', with args beginning', 1)[0]!.slice(0, 200));
}

/** For a reply that another attempt would get again. */
export function refused(cause: unknown): UsercastError {
  const plain = bare(cause);
  return new UsercastError('broker_unavailable', `redis refused: ${plain.message}`, { cause: plain });
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
