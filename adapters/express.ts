// Express 4 and 5: serves the HTTP endpoints of a usercast from its middleware chain, and hands the usercast to routes.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Usercast } from '../src/index.ts';

/** What the middleware needs of a usercast. */
export type RequestServer = Pick<Usercast, 'handleRequest'>;

/** A middleware for `app.use`, of Express 4, Express 5 and everything else that speaks `(req, res, next)`. */
export type ExpressMiddleware = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;

/**
 * Serves the HTTP endpoints (`sse`, `messages`, `counts`, `ack`) and sets `req.usercast` for the routes after it. `path`
 * is absolute on the server, so it may be mounted anywhere, before or after `attach`, body parsers or compression.
 *
 * TypeScript learns of `req.usercast` from this, once in the host's code:
 * ```ts
 * declare global { namespace Express { interface Request { usercast: Usercast } } }
 * ```
 * @throws TypeError for anything but what `createUsercast` returned.
 */
export function expressMiddleware(usercast: RequestServer): ExpressMiddleware {
  if (typeof usercast?.handleRequest !== 'function') {
    throw new TypeError('expressMiddleware takes what createUsercast returned, and got something else');
  }
  return function serveUsercast(req, res, next) {
    (req as IncomingMessage & { usercast?: RequestServer }).usercast = usercast;
    if (!usercast.handleRequest(req, res)) next();
  };
}
