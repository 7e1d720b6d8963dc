// What set-up finds that waiting will not mend. Thrown by what prepares a connection; the link answers calls with it at once.

import { UsercastError } from '../../src/index.ts';

/** A `UsercastError` with the code `broker_unavailable`. */
export class SetupRefusal extends UsercastError {
  /** `message` says what to change. */
  constructor(message: string, cause?: unknown) {
    super('broker_unavailable', message, cause === undefined ? {} : { cause });
  }
}

/** The server does not let us do something on a subject. */
export function denial(what: 'publish' | 'subscribe', subject: string): SetupRefusal {
  return new SetupRefusal(`NATS does not let us ${what} to ${subject}; allow it in the permissions of the user`);
}
