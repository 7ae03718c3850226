// The checks that stand between a request's object and the store, shared by create, update and patch.
import { badRequest, type FieldError, invalid } from '../../api/machinery/errors.ts'
import type { WriteContext } from '../../api/machinery/kind.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import { invalidObject, validateCreate } from '../../api/machinery/validate.ts'
import { type ObjectDraft, optionsKindOf } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'

/** Puts the request's namespace into the object. Throws BadRequest where they disagree. */
export function settleNamespace(call: ResourceRequest, draft: ObjectDraft): void {
  const { kind } = call.resource
  const { namespace } = call.info
  const given = draft.metadata.namespace ?? ''
  if (!kind.namespaced) {
    if (given !== '') delete draft.metadata.namespace
    return
  }
  if (given !== '' && given !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
  }
  draft.metadata.namespace = namespace
}

/** Makes a member of `draft` what it is in `old`, absent where it is absent. */
export function take(key: string, draft: object, old: object): void {
  const target = draft as Record<string, unknown>
  const value = (old as Record<string, unknown>)[key]
  if (value === undefined) delete target[key]
  else target[key] = value
}

/** Throws Invalid with everything that is wrong with a new object. */
export function validateNew(call: ResourceRequest, object: ObjectDraft): void {
  const { kind } = call.resource
  const errors = validateCreate(kind, object as KubeObject, { nowMs: call.server.clock.now() })
  const problem = errors.length === 0 ? undefined : invalidObject(kind as never, object.metadata.name ?? '', errors)
  if (problem !== undefined) throw problem
  for (const warning of kind.warnings?.(object as KubeObject, undefined) ?? []) call.warnings.push(warning)
}

/** What is wrong with a changed object. */
export type ChangeValidation = (object: KubeObject, old: KubeObject, context: WriteContext) => readonly FieldError[]

/** Throws Invalid with everything that is wrong with a changed object. */
export function validateChanged(
  call: ResourceRequest,
  object: ObjectDraft,
  old: KubeObject,
  validate: ChangeValidation,
): void {
  const { kind } = call.resource
  const errors = validate(object as KubeObject, old, { nowMs: call.server.clock.now() })
  const problem = errors.length === 0 ? undefined : invalidObject(kind as never, old.metadata.name, errors)
  if (problem !== undefined) throw problem
  for (const warning of kind.warnings?.(object as KubeObject, old) ?? []) call.warnings.push(warning)
}

/** dryRun=All. Throws Invalid for other values. */
export function dryRunOf(value: readonly string[], verb: string): boolean {
  if (value.some((item) => item !== 'All')) {
    const message = `Unsupported value: ${JSON.stringify(value)}: supported values: "All"`
    throw invalid('meta.k8s.io', optionsKindOf(verb), '', [
      { type: 'FieldValueNotSupported', field: 'dryRun', message },
    ])
  }
  return value.length > 0
}
