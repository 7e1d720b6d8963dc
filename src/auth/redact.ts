// Keeps tokens out of what is handed to listeners and logs: an error that holds the token anywhere is replaced by a copy
// that does not. `authenticate` calls it for every cause that it reports.

const MARK = '[token]';
const MIN_PART_LENGTH = 16;
const MAX_VISITS = 2_000;
const MAX_CAUSES = 8;

/**
 * The same `cause` where nothing reachable from it holds the token, whole, percent-encoded or one long part of it; else
 * an `Error` with its name, code, message, stack and causes, and the token replaced.
 */
export function withoutToken(cause: unknown, token: string): unknown {
  const needles = needlesOf(token);
  return holds(cause, needles) ? redacted(cause, needles, MAX_CAUSES) : cause;
}

/** Longest first, so that no part is replaced before the whole. */
function needlesOf(token: string): readonly string[] {
  const parts = token.split('.').filter((part) => part.length >= MIN_PART_LENGTH);
  // An unpaired surrogate has no percent-encoding.
  const encoded = /\p{Cs}/u.test(token) ? token : encodeURIComponent(token);
  return [...new Set([encoded, token, ...parts])];
}

function holds(root: unknown, needles: readonly string[]): boolean {
  const inText = (text: string): boolean => needles.some((needle) => text.includes(needle));
  const seen = new Set<object>();
  const open: unknown[] = [root];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value === 'string') {
      if (inText(value)) return true;
    } else if (typeof value === 'object' && value !== null && !seen.has(value)) {
      seen.add(value);
      // Too much to look through, such as a whole request: a copy of the few fields that matter is safe.
      if (seen.size > MAX_VISITS) return true;
      if (ArrayBuffer.isView(value))
        open.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1'));
      else open.push(...contents(value));
    }
  }
  return false;
}

/** What loggers print of an object: all own properties, the symbols of foreign classes too, and a collection's members. */
function contents(value: object): unknown[] {
  const found: unknown[] = [];
  if (value instanceof Map) found.push(...value.keys(), ...value.values());
  if (value instanceof Set) found.push(...value);
  for (const key of [...Reflect.ownKeys(value), 'message', 'stack', 'cause']) {
    if (typeof key === 'string') found.push(key);
    found.push(property(value, key));
  }
  return found;
}

function property(value: object, key: string | symbol): unknown {
  try {
    return Reflect.get(value, key);
  } catch {
    return undefined;
  }
}

function redacted(cause: unknown, needles: readonly string[], causesLeft: number): Error {
  const clean = (text: unknown): string =>
    typeof text === 'string' ? needles.reduce((rest, needle) => rest.replaceAll(needle, MARK), text) : '';
  if (typeof cause !== 'object' || cause === null) return new Error(clean(String(cause)));
  const inner = property(cause, 'cause');
  const copy = new Error(
    clean(property(cause, 'message')),
    inner === undefined || causesLeft === 0 ? undefined : { cause: redacted(inner, needles, causesLeft - 1) },
  );
  for (const key of ['name', 'code', 'stack']) {
    const text = clean(property(cause, key));
    if (text !== '') Object.defineProperty(copy, key, { value: text, configurable: true, writable: true });
  }
  return copy;
}
