// The Standard Schema interface, version 1: what a validation library has to offer so that hosts can use it here. Types
// only, by shape, so that no package is needed for it.

/**
 * A schema of any library that speaks Standard Schema: valibot, zod, arktype and others.
 * @see https://standardschema.dev
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': StandardSchemaProps<Input, Output>;
}

/** What hangs on a schema's `~standard` key. */
export interface StandardSchemaProps<Input = unknown, Output = Input> {
  readonly version: 1;
  /** The library's name. */
  readonly vendor: string;
  readonly validate: (value: unknown) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>;
  /** For inference; not there at run time. */
  readonly types?: { readonly input: Input; readonly output: Output } | undefined;
}

/** What `validate` found: a value, or issues and no value. */
export type StandardSchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardSchemaIssue[] };

/** One thing that is wrong with a value. */
export interface StandardSchemaIssue {
  /** For people. It may repeat what was received. */
  readonly message: string;
  /** Where, from the outside in; absent: the value itself. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
