// The schema language: plain data that says what an API object may hold. Every verb on it (defaulting, decoding,
// validation, OpenAPI, merge, protobuf, tables) is an interpreter in a file of its own; a schema itself does nothing.
// The TypeScript type of an object is inferred from its schema, so a field is written down exactly once.

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json | undefined
}

/** Constraints as in JSON Schema; built-in kinds use a few, CRDs may use all of them. */
export interface Constraints {
  readonly nullable?: boolean
  readonly pattern?: string
  readonly format?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: boolean
  readonly exclusiveMaximum?: boolean
  readonly multipleOf?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly uniqueItems?: boolean
  readonly minProperties?: number
  readonly maxProperties?: number
  readonly enumValues?: readonly Json[]
  readonly requiredKeys?: readonly string[]
  readonly allOf?: readonly Constraints[]
  readonly anyOf?: readonly Constraints[]
  readonly oneOf?: readonly Constraints[]
  readonly not?: Constraints
  readonly properties?: Readonly<Record<string, Constraints>>
  readonly items?: Constraints
  readonly additionalProperties?: Constraints
  /** CEL rules (x-kubernetes-validations). */
  readonly rules?: readonly ValidationRule[]
}

/** One CEL rule of x-kubernetes-validations (KEP-2876). */
export interface ValidationRule {
  readonly rule: string
  readonly message?: string
  readonly messageExpression?: string
  readonly reason?: string
  readonly fieldPath?: string
  readonly optionalOldSelf?: boolean
}

/** Carries the inferred TypeScript type; never present at run time. */
declare const inferred: unique symbol
interface Typed<T> {
  readonly [inferred]?: T
  readonly description?: string
  readonly constraints?: Constraints
}

/** UTF-8 text. `enum` lists the accepted values (checked by validation, not by decoding). `format: 'byte'` is base64. */
export interface StringSchema<T extends string = string> extends Typed<T> {
  readonly type: 'string'
  readonly enum?: readonly T[]
  readonly format?: 'byte' | 'date-time' | 'micro-time' | 'duration'
}
/** A whole number; int64 beyond 2^53 is refused on decoding. */
export interface IntegerSchema extends Typed<number> {
  readonly type: 'integer'
  readonly format: 'int32' | 'int64'
}
export interface NumberSchema extends Typed<number> {
  readonly type: 'number'
}
export interface BooleanSchema extends Typed<boolean> {
  readonly type: 'boolean'
}
/** resource.Quantity: a string such as "100m" or "2Gi"; a bare JSON number is accepted and kept as its canonical string. */
export interface QuantitySchema extends Typed<string> {
  readonly type: 'quantity'
}
export interface IntOrStringSchema extends Typed<number | string> {
  readonly type: 'int-or-string'
}
/** Any JSON below this point, unpruned (RawExtension, JSON, preserve-unknown-fields). */
export interface AnySchema extends Typed<Json> {
  readonly type: 'any'
  /** x-kubernetes-embedded-resource: apiVersion, kind and metadata are checked. */
  readonly embeddedResource?: boolean
  /** protobuf shape: RawExtension {1: raw}, or FieldsV1 {1: Raw}, or JSON {1: raw}. */
  readonly name?: string
}
export interface ArraySchema<T = unknown> extends Typed<readonly T[]> {
  readonly type: 'array'
  readonly items: Schema
  readonly list?: ListOptions
}
export interface ListOptions {
  /** x-kubernetes-list-type, for server-side apply; absent counts as atomic. */
  readonly listType?: 'atomic' | 'set' | 'map'
  readonly listMapKeys?: readonly string[]
  /** strategic merge: x-kubernetes-patch-strategy and -merge-key. */
  readonly patchStrategy?: 'merge' | 'replace' | 'merge,retainKeys' | 'retainKeys'
  readonly patchMergeKey?: string
  /** protobuf only: the list is a message of its own with the items in field 1 (APIResource.verbs, ExtraValue). */
  readonly wrapped?: boolean
}
export interface MapSchema<T = unknown> extends Typed<{ readonly [key: string]: T }> {
  readonly type: 'map'
  readonly values: Schema
  readonly mapType?: 'atomic' | 'granular'
}
export interface ObjectSchema<T = unknown> extends Typed<T> {
  readonly type: 'object'
  /** OpenAPI definition name, such as io.k8s.api.core.v1.PodSpec; empty for inline (CRD) objects. */
  readonly name: string
  readonly fields: Readonly<Record<string, Field>>
  readonly mapType?: 'atomic' | 'granular'
  /** CRDs: JSON as it is. Wrong types are reported by validation, absent required fields are not filled with zeros. */
  readonly structural?: boolean
  /** CRDs: keep what the schema does not name (x-kubernetes-preserve-unknown-fields). */
  readonly preserveUnknown?: boolean
  readonly embeddedResource?: boolean
  /** CRDs, at the root: the schema as its author wrote it, for OpenAPI. */
  readonly published?: JsonObject
  /** Mutually exclusive members with a discriminator (x-kubernetes-unions). */
  readonly unions?: readonly { readonly discriminator?: string; readonly fields: Readonly<Record<string, string>> }[]
}
/** For recursive types (JSONSchemaProps): resolved on use. */
export interface LazySchema<T = unknown> extends Typed<T> {
  readonly type: 'lazy'
  readonly get: () => Schema
}
export type Schema =
  | StringSchema
  | IntegerSchema
  | NumberSchema
  | BooleanSchema
  | QuantitySchema
  | IntOrStringSchema
  | AnySchema
  | ArraySchema
  | MapSchema
  | ObjectSchema
  | LazySchema

/** How a field stands in its object.
 * optional: may be absent. required: OpenAPI lists it as required.
 * struct: a value that is always written, as `{}` when empty (spec, status, metadata, resources ...). */
export type Presence = 'optional' | 'required' | 'struct'

export interface FieldOptions {
  /** Published as "default" in OpenAPI too (most defaults are applied without being published). */
  readonly publishDefault?: boolean
  /** Published as "default" in OpenAPI and applied by nobody (the kind's setDefaults decides). */
  readonly publishedDefault?: Json
  /** More x-kubernetes-* keys of the property in OpenAPI. */
  readonly extensions?: Readonly<Record<string, Json>>
  /** May not change on update (apiserver answers "field is immutable"). */
  readonly immutable?: boolean
  /** Strategic-merge strategy of a struct or map field (x-kubernetes-patch-strategy). */
  readonly patchStrategy?: 'retainKeys' | 'replace'
  /** Overrules the map type of the field's schema in this place. */
  readonly mapType?: 'atomic' | 'granular'
  /** The zero value ('', 0, false) counts as absent: dropped on decoding, so that a default applies to it (a Go scalar
   * by value with omitempty, such as a probe's periodSeconds). An empty string where a default exists always does. */
  readonly omitZero?: boolean
  /** Absence is told apart from the zero value (a Go pointer, such as storageClassName): an empty string is kept by the
   * protobuf decoder, and a required field has no default in OpenAPI. */
  readonly pointer?: boolean
  /** OpenAPI lists the field as required although it is always written (a struct without omitempty). */
  readonly listed?: boolean
  /** A required string or list that may nevertheless be empty (an HTTP header's value, an EndpointSlice's endpoints).
   * Required numbers and booleans that are absent are 0 and false, required objects `{}` unless they are pointers; under
   * `status` nothing is checked for presence. */
  readonly mayBeEmpty?: boolean
  /** protobuf only: field numbers of the embedded messages around this field, outermost first. A Go struct embedded
   * without a JSON name (a volume's source, a probe's handler) is flat in JSON and nested in protobuf. */
  readonly within?: readonly number[]
  readonly description?: string
}
export interface Field<S extends Schema = Schema, P extends boolean = boolean> extends FieldOptions {
  /** protobuf field number; 0 where the type has no protobuf form. */
  readonly tag: number
  readonly schema: S
  readonly presence: Presence
  /** Applied when the field is absent. */
  readonly default?: Json
  /** True where every stored object has the field, so its TypeScript property is not optional. */
  readonly present: P
}

/** The TypeScript type that a schema describes. */
export type Infer<S> = S extends Typed<infer T> ? T : never
type Fields = Readonly<Record<string, Field>>
type PresentKeys<F extends Fields> = { [K in keyof F]: F[K]['present'] extends true ? K : never }[keyof F]
type InferFields<F extends Fields> = { readonly [K in PresentKeys<F>]: Infer<F[K]['schema']> } & {
  readonly [K in Exclude<keyof F, PresentKeys<F>>]?: Infer<F[K]['schema']> | undefined
}
/** Flattens an intersection, so that error messages and hovers show plain properties. */
type Flat<T> = { readonly [K in keyof T]: T[K] }

/** An object under construction: the same shape without readonly, at every depth. */
export type Draft<T> = T extends readonly (infer U)[]
  ? Draft<U>[]
  : T extends object
    ? { -readonly [K in keyof T]: Draft<T[K]> }
    : T

export const string = (options: { format?: StringSchema['format']; constraints?: Constraints } = {}): StringSchema =>
  ({ type: 'string', ...options }) as StringSchema
/** A string of which validation accepts only the listed values. */
export const enumeration = <const T extends string>(...values: readonly T[]): StringSchema<T> => ({
  type: 'string',
  enum: values,
})
export const int32 = (): IntegerSchema => ({ type: 'integer', format: 'int32' })
export const int64 = (): IntegerSchema => ({ type: 'integer', format: 'int64' })
export const double = (): NumberSchema => ({ type: 'number' })
export const boolean = (): BooleanSchema => ({ type: 'boolean' })
export const quantity = (): QuantitySchema => ({ type: 'quantity' })
export const intOrString = (): IntOrStringSchema => ({ type: 'int-or-string' })
/** RFC 3339 with whole seconds (metav1.Time). */
export const time = (): StringSchema => ({ type: 'string', format: 'date-time' })
/** RFC 3339 with microseconds (metav1.MicroTime). */
export const microTime = (): StringSchema => ({ type: 'string', format: 'micro-time' })
/** base64 of arbitrary bytes. */
export const bytes = (): StringSchema => ({ type: 'string', format: 'byte' })
export const any = (name?: string): AnySchema => (name === undefined ? { type: 'any' } : { type: 'any', name })
export const array = <S extends Schema>(items: S, list?: ListOptions): ArraySchema<Infer<S>> =>
  list === undefined ? { type: 'array', items } : { type: 'array', items, list }
export const map = <S extends Schema>(values: S, mapType?: 'atomic' | 'granular'): MapSchema<Infer<S>> =>
  mapType === undefined ? { type: 'map', values } : { type: 'map', values, mapType }
export const lazy = <T>(get: () => Schema): LazySchema<T> => ({ type: 'lazy', get })
export const object = <F extends Fields>(
  name: string,
  fields: F,
  options: Pick<ObjectSchema, 'mapType' | 'unions' | 'description'> = {},
): ObjectSchema<Flat<InferFields<F>>> => ({ type: 'object', name, fields, ...options })

/** A field that may be absent. */
export const optional = <S extends Schema>(tag: number, schema: S, options: FieldOptions = {}): Field<S, false> => ({
  tag,
  schema,
  presence: 'optional',
  present: false,
  ...options,
})
/** A field that OpenAPI lists as required. */
export const required = <S extends Schema>(tag: number, schema: S, options: FieldOptions = {}): Field<S, true> => ({
  tag,
  schema,
  presence: 'required',
  present: true,
  ...options,
})
/** A nested object that is always there, `{}` when nothing was said (a Go struct by value). */
export const struct = <S extends Schema>(tag: number, schema: S, options: FieldOptions = {}): Field<S, true> => ({
  tag,
  schema,
  presence: 'struct',
  present: true,
  ...options,
})
/** An optional field that gets a value on defaulting, so stored objects always have it. */
export const defaulted = <S extends Schema>(
  tag: number,
  schema: S,
  value: Json,
  options: FieldOptions = {},
): Field<S, true> => ({ tag, schema, presence: 'optional', present: true, default: value, ...options })
