// What set-up finds that waiting will not mend. Thrown by what prepares a connection; the link answers calls with it at once.

import { UsercastError } from '../../src/index.ts';

/** A `UsercastError` with the code `broker_unavailable`. */
export class SetupRefusal extends UsercastError {
  /** `message` says what to change. */
  constructor(message: string, cause?: unknown) {
    super('broker_unavailable', message, cause === undefined ? {} : { cause });
  }
}
