// The one error class that callers see. Match on `code`; `message` is for people and holds no token and no payload.

/** What went wrong, stable across releases. */
export type UsercastErrorCode =
  /** An event, a notification or an id broke a rule; the message names the path and the rule. Nothing was delivered. */
  | 'invalid_message'
  /** `notify` was given a type that belongs to the protocol. */
  | 'reserved_type'
  /** The encoded message is over `limits.maxPublishBytes`. */
  | 'too_large'
  /** The broker did not take the message for some recipients: `failedUserIds`. Calling again with the same id is safe. */
  | 'publish_failed'
  /** A call to a broker, store or verifier did not answer within `limits.deadlineMs`. */
  | 'deadline'
  /** The broker cannot be reached, or refused the call. */
  | 'broker_unavailable'
  /** A bound of this process was reached. */
  | 'overloaded'
  /** `close` or `drain` was called before. */
  | 'closed'
  /** `attach` was given something that is not an `http.Server`, or one that it is attached to already. */
  | 'invalid_server'
  /** Serving needs a `verifier` and none was given. */
  | 'verifier_missing'
  /** The token is malformed, has a bad signature, or is not meant for this service. */
  | 'token_invalid'
  /** The token was good and has ended. */
  | 'token_expired'
  /** The verifier could not tell: its identity provider did not answer. Not the token's fault. */
  | 'verifier_unavailable';

/** Details that an error carries beside its code. */
export interface UsercastErrorDetails {
  readonly cause?: unknown;
  /** With `publish_failed`: the recipients that did not get the message, in the order in which they were given. */
  readonly failedUserIds?: readonly string[];
}

/** Every error that usercast throws, but for a `TypeError` about a wrong option. */
export class UsercastError extends Error {
  override readonly name = 'UsercastError';
  readonly code: UsercastErrorCode;
  readonly failedUserIds?: readonly string[];

  constructor(code: UsercastErrorCode, message: string, details: UsercastErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.code = code;
    if (details.failedUserIds) this.failedUserIds = details.failedUserIds;
  }
}

/** Where something that the host plugged in failed: the `stage` of an `error` event. */
export type ErrorStage =
  | 'verify'
  | 'authorize'
  | 'publish'
  | 'count'
  | 'read'
  | 'subscribe'
  | 'listener'
  | 'connection';
