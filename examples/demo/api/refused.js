// Says no to a request: both servers answer it with the status and a problem document (RFC 9457).

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** The body that the page shows to the person. */
  static problem(error) {
    const status = error.status ?? 500;
    // Errors that are not ours may say more about the server than a client should know.
    return { status, title: status < 500 ? error.message : 'The server could not do that. Try again.' };
  }
}
