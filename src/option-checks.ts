// The checks that every option goes through, here and in the brokers: each names the option and the value.

/** A value as an error message may show it: short, and never the inside of an object. */
export function shown(value: unknown): string {
  if (typeof value === 'string') {
    // What was meant for another option may be a URL with a password.
    const text = value.replace(/\/\/.*@/s, '//…@');
    return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
  }
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value);
}

/** @throws TypeError that says what the option must be. */
export function wrongOption(name: string, rule: string, value: unknown): never {
  throw new TypeError(`${name} must be ${rule}, got ${shown(value)}`);
}

/** The object itself. @throws TypeError for anything else, and for a key that is not one of `keys`. */
export function checkKeys(name: string, value: unknown, keys: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) wrongOption(name, 'an object', value);
  for (const key of Object.keys(value)) {
    if (!keys.includes(key))
      throw new TypeError(`${name} has no option ${JSON.stringify(key)}; it takes ${keys.join(', ')}`);
  }
  return value as Record<string, unknown>;
}

/** A whole number from `min` up, or `fallback` where the option is absent. */
export function wholeNumber(name: string, value: unknown, fallback: number, min: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min) {
    wrongOption(name, `a whole number of at least ${min}`, value);
  }
  return value;
}

/** A function, or undefined where the option is absent. */
export function optionalFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') wrongOption(name, 'a function', value);
}

/** An object with these methods, or undefined where the option is absent. */
export function optionalObjectWith(name: string, value: unknown, methods: readonly string[], hint: string): void {
  if (value === undefined) return;
  const complete =
    typeof value === 'object' &&
    value !== null &&
    methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function');
  if (!complete) wrongOption(name, hint, value);
}
