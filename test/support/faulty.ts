// Stands in for something that the host plugs in, and fails as told: each method of it can be made to fail or hang.

/** `late`: the call takes effect and its answer is lost. `throw`: not even a promise comes back. */
export type Fault = 'hang' | 'reject' | 'throw' | 'late';

/** What a faulty call fails with. */
export class Outage extends Error {}

export interface Faulty<T extends object> {
  /** The thing itself, as far as its caller can tell. */
  readonly thing: T;
  /** By method; none: works. */
  faults: { [K in keyof T]?: Fault };
}

export function faulty<T extends object>(target: T): Faulty<T> {
  const handle: Faulty<T> = {
    faults: {},
    thing: new Proxy(target, {
      get(_, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          const fault = handle.faults[key as keyof T];
          if (fault === undefined) return value.apply(target, args);
          if (fault === 'throw') throw new Outage(`${String(key)} threw`);
          if (fault === 'reject') return Promise.reject(new Outage(`${String(key)} failed`));
          const never = new Promise<never>(() => {});
          return fault === 'late' ? Promise.resolve(value.apply(target, args)).then(() => never) : never;
        };
      },
    }),
  };
  return handle;
}
