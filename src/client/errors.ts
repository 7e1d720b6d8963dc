// The one error class of the client, and how errors get out where nobody called.

/** What went wrong. */
export type ClientFailure =
  /** A handler or listener threw, or its promise was rejected: `cause`. The next one was called all the same. */
  | 'handler_failed'
  /** The token function threw: `cause`; or it gave no string. It is called again. */
  | 'token_failed'
  /**
   * The server refused two tokens in a row. The client is closed where the token is a string; a function is asked again,
   * and this is not repeated until a token is taken.
   */
  | 'token_refused'
  /** The server closed for good: `closeCode`. The client is closed. */
  | 'refused'
  /**
   * The connection ended or could not be made: `closeCode`. The client comes back by itself. `onError` is told only of three
   * attempts in a row that came to nothing, once: the URL, the path or the network may be wrong.
   */
  | 'disconnected'
  /** The server does not take this `ack`, or its box id can be none. */
  | 'ack_refused'
  /** `close` was called, or the client had ended before. */
  | 'closed';

/** Every error of the client, but for a `TypeError` about a wrong option. It holds no token and no message. */
export class UsercastClientError extends Error {
  override readonly name = 'UsercastClientError';
  readonly code: ClientFailure;
  /** The WebSocket close code, or the one that an HTTP status stands for; 1006 where the server did not say why. */
  readonly closeCode: number | undefined;

  constructor(code: ClientFailure, message: string, details: { closeCode?: number; cause?: unknown } = {}) {
    super(message, details);
    this.code = code;
    this.closeCode = details.closeCode;
  }
}
