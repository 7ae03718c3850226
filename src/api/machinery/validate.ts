// All rules of a kind in one place: metadata, schema, the kind's own. Where the kind says something about a field, the
// schema's plainer words about it are dropped.
import { type ApiError, type FieldError, invalid } from './errors.ts'
import type { Kind, WriteContext } from './kind.ts'
import type { KubeObject } from './meta.ts'
import { validateMeta, validateMetaUpdate } from './validate-meta.ts'
import { validateSchema } from './validate-schema.ts'

/** What is wrong with an object that is to be created. */
export function validateCreate<T extends KubeObject>(kind: Kind<T>, object: T, context: WriteContext): FieldError[] {
  const found = merged(validateMeta(kind, object.metadata), validateSchema(kind.schema, object), [
    ...(kind.validate?.(named(object), context) ?? []),
  ])
  return withRules(kind, object, undefined, found)
}

/** What is wrong with an update of the main resource. */
export function validateUpdate<T extends KubeObject>(
  kind: Kind<T>,
  object: T,
  old: T,
  context: WriteContext,
): FieldError[] {
  const found = merged(
    [...validateMetaUpdate(object.metadata, old.metadata), ...validateMeta(kind, object.metadata)],
    validateSchema(kind.schema, object, old),
    [
      ...(kind.validateUpdate?.(named(object), named(old), context) ?? []),
      ...(kind.validate?.(named(object), context, named(old)) ?? []),
    ],
  )
  return withRules(kind, object, old, found)
}

/** What is wrong with an update through a subresource such as /status. */
export function validateStatusUpdate<T extends KubeObject>(
  kind: Kind<T>,
  object: T,
  old: T,
  context: WriteContext,
): FieldError[] {
  const found = merged(
    [...validateMetaUpdate(object.metadata, old.metadata), ...validateMeta(kind, object.metadata)],
    kind.schema.structural === true ? validateSchema(kind.schema, object, old) : [],
    [...(kind.validateStatusUpdate?.(named(object), named(old), context) ?? [])],
  )
  return withRules(kind, object, old, found)
}

/** Findings after which a rule could only fail for the same reason again. */
const blocking = new Set<FieldError['type']>([
  'FieldValueRequired',
  'FieldValueTypeInvalid',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueNotSupported',
])
const unchecked: FieldError = {
  type: 'FieldValueInvalid',
  field: '<nil>',
  message:
    'Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
}
function withRules<T extends KubeObject>(
  kind: Kind<T>,
  object: T,
  old: T | undefined,
  found: FieldError[],
): FieldError[] {
  if (kind.rules === undefined) return found
  if (found.some(({ type }) => blocking.has(type))) return [...found, unchecked]
  const broken = kind.rules(object, old)
  return broken.length === 0 ? found : [...found, ...broken]
}

/** The 422 answer, or undefined where nothing is wrong. */
export function invalidObject(kind: Kind<never>, name: string, errors: readonly FieldError[]): ApiError | undefined {
  return errors.length === 0 ? undefined : invalid(kind.group, kind.kind, name, errors)
}

/** Kinds may rely on a name; that it is missing is said by the rules of metadata. */
function named<T extends KubeObject>(object: T): T {
  const { name }: { readonly name?: string } = object.metadata
  return name === undefined ? { ...object, metadata: { ...object.metadata, name: '' } } : object
}
function merged(meta: readonly FieldError[], schema: readonly FieldError[], own: readonly FieldError[]): FieldError[] {
  const spoken = new Set(own.map((error) => `${error.type} ${error.field}`))
  const all = [...meta, ...schema.filter((error) => !spoken.has(`${error.type} ${error.field}`)), ...own]
  const seen = new Set<string>()
  return all.filter((error) => {
    const line = `${error.field}: ${error.message}`
    if (seen.has(line)) return false
    seen.add(line)
    return true
  })
}
