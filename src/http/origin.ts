// The origin rule: from which pages a browser may connect. A request without an `Origin` header does not come from a
// page of another site, and passes.

import type { AllowedOrigins, RequestContext } from '../options.ts';
import { Refusal } from '../protocol/refusals.ts';

const DEFAULT_PORTS: readonly (readonly [scheme: string, port: string])[] = [
  ['https://', ':443'],
  ['http://', ':80'],
];
const SHOWN_LENGTH = 100;

type Rule = (origin: string, context: RequestContext) => boolean;

/** The `allowedOrigins` option, compiled. */
export class OriginRule {
  readonly #allows: Rule;

  /**
   * @param allowed null: the request's own host
   * @param onError told of what a rule of the host throws
   */
  constructor(allowed: AllowedOrigins | null, onError: (cause: unknown) => void) {
    this.#allows = compile(allowed, onError);
  }

  /** @throws Refusal `origin_not_allowed`, naming the origin and the option; `internal_error` when the host's rule throws. */
  check(context: RequestContext): void {
    const { origin } = context;
    if (origin === undefined || this.#allows(origin, context)) return;
    throw new Refusal(
      'origin_not_allowed',
      `the origin ${JSON.stringify(origin.slice(0, SHOWN_LENGTH))} is not allowed: add it to the option allowedOrigins of the server`,
    );
  }
}

function compile(allowed: AllowedOrigins | null, onError: (cause: unknown) => void): Rule {
  if (allowed === null) return isSameHost;
  if (allowed === '*') return () => true;
  if (typeof allowed === 'function') return guarded(allowed, onError);
  const listed = new Set(allowed.map(normalised));
  return (origin) => listed.has(normalised(origin));
}

function guarded(rule: Rule, onError: (cause: unknown) => void): Rule {
  return (origin, context) => {
    try {
      // An async rule would give a promise, which is no permission.
      return rule(origin, context) === true;
    } catch (cause) {
      onError(cause);
      throw new Refusal('internal_error', 'the origin could not be checked: try again later');
    }
  };
}

/** The scheme is left out of it: a proxy that ends TLS does not hand it on. */
function isSameHost(origin: string, { host }: RequestContext): boolean {
  if (host === undefined) return false;
  const page = normalised(origin);
  for (const [scheme, port] of DEFAULT_PORTS) {
    if (page.startsWith(scheme)) return page.slice(scheme.length) === withoutEnd(host.toLowerCase(), port);
  }
  return false;
}

/** @see RFC 6454 section 4 */
function normalised(origin: string): string {
  const lowerCase = withoutEnd(origin.toLowerCase(), '/');
  for (const [scheme, port] of DEFAULT_PORTS) {
    if (lowerCase.startsWith(scheme)) return withoutEnd(lowerCase, port);
  }
  return lowerCase;
}

function withoutEnd(text: string, end: string): string {
  return text.endsWith(end) ? text.slice(0, -end.length) : text;
}
