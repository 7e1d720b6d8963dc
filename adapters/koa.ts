// Koa 2 and 3: serves the HTTP endpoints of a usercast from its middleware chain, and hands the usercast to the others.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Usercast } from '../src/index.ts';

/** What the middleware needs of a usercast. */
export type RequestServer = Pick<Usercast, 'handleRequest'>;

/** What the middleware needs of Koa's context. */
export interface KoaContext {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly request: object;
  originalUrl: string;
  respond?: boolean | undefined;
}

/** A middleware for `app.use`. */
export type KoaMiddleware = (ctx: KoaContext, next: () => Promise<unknown>) => Promise<void>;

/** What others have put on Koa's objects: mounts keep the first target, body parsers leave what they read. */
interface KoaRequest {
  originalUrl: string;
  readonly body?: unknown;
}

interface MountedRequest extends IncomingMessage {
  originalUrl?: string;
  body?: unknown;
}

/**
 * Serves the HTTP endpoints (`sse`, `messages`, `counts`, `ack`) and sets `ctx.usercast` for the middleware after it.
 * `path` is absolute on the server, so it may be mounted anywhere, before or after `attach`, body parsers or compression.
 * What is before it resumes when the response has ended.
 *
 * TypeScript learns of `ctx.usercast` from this, once in the host's code:
 * ```ts
 * declare module 'koa' { interface DefaultContext { usercast: Usercast } }
 * ```
 * @throws TypeError for anything but what `createUsercast` returned.
 */
export function koaMiddleware(usercast: RequestServer): KoaMiddleware {
  if (typeof usercast?.handleRequest !== 'function') {
    throw new TypeError('koaMiddleware takes what createUsercast returned, and got something else');
  }
  return async function serveUsercast(ctx, next) {
    (ctx as KoaContext & { usercast?: RequestServer }).usercast = usercast;
    const req: MountedRequest = ctx.req;
    const request = ctx.request as KoaRequest;
    if (ctx.originalUrl !== req.url) req.originalUrl ??= ctx.originalUrl;
    if (request.body !== undefined) req.body ??= request.body;
    if (!usercast.handleRequest(req, ctx.res)) {
      await next();
      return;
    }
    ctx.respond = false;
    // The token is out of the request's URL, and these are copies.
    ctx.originalUrl = request.originalUrl = req.originalUrl ?? req.url ?? '';
    if (!ctx.res.closed) await new Promise((resolve) => ctx.res.once('close', resolve));
  };
}
