// Cross-origin requests (option `cors`): what makes a browser hand our answers to pages of other origins that may have
// them. The origin rule decides which those are.

import type { IncomingMessage, ServerResponse } from 'node:http';

/** What a client has to see beside the body: when to come back, and that it is the token. */
const EXPOSED_HEADERS = 'Retry-After, WWW-Authenticate';
const REQUEST_HEADERS = 'Authorization, Content-Type, Last-Event-ID';
/** The longest that a browser in use keeps a preflight's answer for. */
const MAX_AGE_SECONDS = 7_200;

/** Tells caches that the answer is another for each origin. */
export function varyByOrigin(res: ServerResponse): void {
  res.appendHeader('Vary', 'Origin');
}

/** Lets pages of this origin, which is allowed, read the answer. @see WHATWG Fetch section 3.3.3 */
export function letRead(res: ServerResponse, origin: string): void {
  res.setHeader('Access-Control-Allow-Origin', origin);
  res.setHeader('Access-Control-Expose-Headers', EXPOSED_HEADERS);
}

/** Whether a browser asks if a page may send a request. @see WHATWG Fetch section 3.3.2 */
export function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && 'access-control-request-method' in headers;
}

/** Says yes to a preflight: to this method, and to whatever headers the page, or what instruments it, wants to send. */
export function answerPreflight(req: IncomingMessage, res: ServerResponse, method: string): void {
  res.appendHeader('Vary', 'Access-Control-Request-Headers');
  res.writeHead(204, {
    'Access-Control-Allow-Methods': method,
    'Access-Control-Allow-Headers': req.headers['access-control-request-headers'] || REQUEST_HEADERS,
    'Access-Control-Max-Age': MAX_AGE_SECONDS,
  });
  res.end();
}
