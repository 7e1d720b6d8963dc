// The door: everything between Node's http server and the engine. It decides what is ours, refuses what must not come in,
// and hands verified clients to the engine.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Allowance } from '../allowance.ts';
import { UsercastError } from '../errors.ts';
import { checkKeys, wrongOption } from '../option-checks.ts';
import { checkServer, type Gatekeeper, putGate } from './attach.ts';
import { ClientAddress } from './client-address.ts';
import type { DoorEngine, DoorRules } from './door-engine.ts';
import { Endpoints } from './endpoint.ts';
import { OriginRule } from './origin.ts';
import { EndpointRequest } from './request.ts';
import { takeQueryToken, targetOf } from './token.ts';
import { Upgrade } from './upgrade.ts';

export type { DoorEngine, RefusedInfo } from './door-engine.ts';

/** What `attach` takes beside the server. */
export interface AttachOptions {
  /** Serve the HTTP endpoints too, so that no framework is needed. Default `false`: upgrades alone. */
  readonly http?: boolean;
}

/** One per usercast instance. */
export class Door {
  readonly #rules: DoorRules;
  readonly #servers = new WeakSet<Server>();

  /** @throws TypeError for a `trustProxy` that lists what is no address. */
  constructor(engine: DoorEngine) {
    const { path, allowedOrigins, trustProxy, limits } = engine.options;
    this.#rules = {
      engine,
      endpoints: new Endpoints(path),
      origins: new OriginRule(allowedOrigins, (cause) => engine.failed('authorize', cause)),
      addresses: new ClientAddress(trustProxy),
      admission: new Allowance(limits.handshakesPerSecond, limits.handshakesPerSecond),
    };
  }

  /**
   * Serves the WebSocket endpoint on this server. The function that it returns takes us off the server again; open
   * sessions stay.
   * @throws UsercastError `invalid_server` for what is no server, or one that we are attached to; `verifier_missing`.
   */
  attach(server: Server, options: AttachOptions = {}): () => void {
    checkServer(server);
    const { http = false } = checkKeys('attach options', options, ['http']);
    if (typeof http !== 'boolean') wrongOption('http', 'true or false', http);
    this.#checkVerifier('attach');
    if (this.#servers.has(server)) {
      throw new UsercastError(
        'invalid_server',
        'attached to this server already: call what attach returned, then attach',
      );
    }
    this.#servers.add(server);
    const removeGate = putGate(server, this.#gatekeeper(http));
    let isAttached = true;
    return () => {
      if (!isAttached) return;
      isAttached = false;
      removeGate();
      this.#servers.delete(server);
    };
  }

  /**
   * Answers a request when it is ours; false when it is the host's, then nothing was touched.
   * @throws UsercastError `verifier_missing` when it is ours.
   */
  handleRequest(req: IncomingMessage, res: ServerResponse): boolean {
    const target = this.#rules.endpoints.match(targetOf(req));
    if (target === null) return false;
    this.#checkVerifier('handleRequest');
    // Loggers of the host look at the URL when the response has ended.
    takeQueryToken(req);
    void new EndpointRequest(this.#rules, req, res, target).answer();
    return true;
  }

  #gatekeeper(http: boolean): Gatekeeper {
    const { endpoints } = this.#rules;
    return {
      upgrade: (req, socket, head) => {
        const target = endpoints.match(req.url ?? '');
        if (target === null) return false;
        takeQueryToken(req);
        if (target.endpoint !== 'ws') return false;
        void new Upgrade(this.#rules, req, socket, head, target).begin();
        return true;
      },
      request: (req, res, isContinueDue) => {
        const target = endpoints.match(req.url ?? '');
        if (target === null) return false;
        takeQueryToken(req);
        if (!http) return false;
        if (isContinueDue) res.writeContinue();
        void new EndpointRequest(this.#rules, req, res, target).answer();
        return true;
      },
    };
  }

  #checkVerifier(method: string): void {
    if (this.#rules.engine.authenticate !== null) return;
    throw new UsercastError(
      'verifier_missing',
      `${method} needs to know whose token it is: give createUsercast a verifier, such as jwtVerifier({ … })`,
    );
  }
}
