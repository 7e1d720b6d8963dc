// What the schemas of events, notifications and client messages share: their building blocks, and the check that turns
// the first issue into one clause. Nothing here ever repeats a received value.

import * as v from 'valibot';
import { UsercastError } from '../errors.ts';
import { EVENT_TYPES, isReservedType, RESERVED_TYPES } from './event-types.ts';
import { ID_RULE, isId } from './ids.ts';
import type { StandardSchemaResult, StandardSchemaV1 } from './standard-schema.ts';

/** The schemas that a host added, by type. */
export type HostSchemas = Readonly<Record<string, StandardSchemaV1>>;

const PLAIN_OBJECT_RULE = 'must be a plain object (no array, no toJSON method)';

/**
 * Whether JSON carries this as an object with the fields that it has. Instances of classes pass, objects of another
 * realm too; what JSON writes otherwise (arrays, dates, maps, anything with `toJSON`) does not.
 */
export function isPlainObject(value: unknown): value is object {
  return (
    Object.prototype.toString.call(value) === '[object Object]' &&
    typeof (value as { toJSON?: unknown }).toJSON !== 'function'
  );
}

/** A non-empty string of at most 256 characters. */
export const id = v.custom<string>(isId, ID_RULE);

/** Any string. */
export const string = v.string('must be a string');

/** An object that the protocol does not look into. */
export const opaque = v.custom<object>(isPlainObject, PLAIN_OBJECT_RULE);

/** An object with at least these fields; others pass. */
export function object<const Entries extends v.ObjectEntries>(
  entries: Entries,
): v.GenericSchema<unknown, v.InferOutput<v.ObjectSchema<Entries, undefined>>> {
  const names = Object.keys(entries);
  return v.pipe(
    v.custom<v.InferInput<v.ObjectSchema<Entries, undefined>>>(isPlainObject, PLAIN_OBJECT_RULE),
    // JSON leaves out what is inherited, so it would be checked here and not be sent.
    v.check((value) => names.every((name) => Object.hasOwn(value, name) || !(name in value)), 'must own its fields'),
    v.object(entries, (issue) => (issue.path ? 'is missing' : PLAIN_OBJECT_RULE)),
  );
}

/** The first rule of the schema that the value breaks, as `name.path: rule`; null when it breaks none. */
export function findFault(schema: v.GenericSchema, value: unknown, name: string): string | null {
  const { issues } = v.safeParse(schema, value, { abortEarly: true, abortPipeEarly: true });
  return issues ? `${name}${issues[0].path ? pathOf(issues[0].path) : ''}: ${issues[0].message}` : null;
}

/** @throws UsercastError `invalid_message`, naming path and rule. */
export function checkObject(schema: v.GenericSchema, value: unknown, name: string): void {
  const fault = findFault(schema, value, name);
  if (fault) throw new UsercastError('invalid_message', fault);
}

/**
 * Checks a value with a schema of the host's own; what the schema makes of the value is not used.
 * @param option the option that holds the schema: `events` or `notifications`
 * @throws UsercastError `invalid_message` when an issue was found, when the schema threw (`cause`) or is asynchronous.
 */
export function checkWithHostSchema(
  schemas: HostSchemas,
  option: SchemaOption,
  type: string,
  value: unknown,
  name: string,
): void {
  const at = `options.${option}[${JSON.stringify(type)}]`;
  let result: unknown;
  try {
    result = schemas[type]!['~standard'].validate(value);
  } catch (cause) {
    throw new UsercastError('invalid_message', `${name}: the schema in ${at} threw`, { cause });
  }
  if (typeof result !== 'object' || result === null || 'then' in result) {
    if (result instanceof Promise) result.catch(() => {});
    throw new UsercastError('invalid_message', `${name}: the schema in ${at} must answer at once, not with a promise`);
  }
  // The issue's own message may repeat what was received.
  const issue = (result as StandardSchemaResult<unknown>).issues?.[0];
  if (issue)
    throw new UsercastError('invalid_message', `${name}${pathOf(issue.path ?? [])}: must satisfy the schema in ${at}`);
}

type SchemaOption = 'events' | 'notifications';

const CATALOGUES: Record<SchemaOption, readonly string[]> = {
  events: Object.keys(EVENT_TYPES),
  notifications: ['box.delete', 'file.saved'],
};

/**
 * Checks the option `events` or `notifications` of `createUsercast`.
 * @throws TypeError naming option and value: no object, a type that usercast has already, no Standard Schema.
 */
export function checkSchemas(name: SchemaOption, schemas: unknown): asserts schemas is HostSchemas {
  if (!isPlainObject(schemas))
    throw new TypeError(`options.${name} must be an object of schemas by type, not ${kindOf(schemas)}`);
  for (const [type, schema] of Object.entries(schemas)) {
    const at = `options.${name}[${JSON.stringify(type)}]`;
    if (!isId(type)) throw new TypeError(`${at}: the type ${ID_RULE}`);
    if (CATALOGUES[name].includes(type)) throw new TypeError(`${at}: usercast has a schema for this type already`);
    if (name === 'notifications' && isReservedType(type)) {
      throw new TypeError(`${at}: reserved for the protocol, as are ${RESERVED_TYPES.join(', ')}`);
    }
    if (!isStandardSchema(schema))
      throw new TypeError(`${at} must be a Standard Schema (version 1), not ${kindOf(schema)}`);
  }
}

// Schemas of some libraries are functions.
function isStandardSchema(schema: unknown): schema is StandardSchemaV1 {
  if (schema === null || (typeof schema !== 'object' && typeof schema !== 'function')) return false;
  const props = (schema as Partial<StandardSchemaV1>)['~standard'] as
    | Partial<StandardSchemaV1['~standard']>
    | undefined;
  return props?.version === 1 && typeof props.validate === 'function';
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
}

const PLAIN_KEY = /^[A-Za-z_$][\w$]{0,63}$/;

// Keys are shown where they look like names of fields: in a map, a key may be data.
function pathOf(path: readonly unknown[]): string {
  let text = '';
  for (const segment of path) {
    const key = typeof segment === 'object' && segment !== null && 'key' in segment ? segment.key : segment;
    if (typeof key === 'number') text += `[${key}]`;
    else text += typeof key === 'string' && PLAIN_KEY.test(key) ? `.${key}` : '[…]';
  }
  return text;
}
