// Who set which field (metadata.managedFields): recorded on every write, under the name that the client gives or the
// start of its user agent.
import { trackUpdate, type Writer } from '../../api/machinery/apply.ts'
import { badRequest, type FieldError, invalid, invalidField, tooLongField } from '../../api/machinery/errors.ts'
import { type FieldSet, leafNode } from '../../api/machinery/field-set.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { JsonObject } from '../../api/machinery/schema.ts'
import type { ObjectDraft } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'
import { versionedObject } from '../responders/view.ts'

const maxNameLength = 128
const statusSet: FieldSet = Object.freeze({ 'f:status': leafNode })
const specSet: FieldSet = Object.freeze({ 'f:spec': leafNode })

/** Fields that a write through this door never owns. */
export function ignoredFields(call: ResourceRequest, subresource: string): FieldSet | undefined {
  if (subresource === 'status') return specSet
  return subresource === '' && call.resource.kind.subresources?.status === true ? statusSet : undefined
}

/** The field manager of a request. Throws Invalid for names that are too long or not printable. */
export function managerOf(call: ResourceRequest): string {
  const given = call.info.query.get('fieldManager') ?? ''
  if (given !== '') {
    const errors: FieldError[] = []
    if (given.length > maxNameLength) errors.push(tooLongField('fieldManager', maxNameLength))
    if (/\p{C}/u.test(given))
      errors.push(invalidField('fieldManager', given, 'should only contain printable characters'))
    if (errors.length > 0) throw invalid('meta.k8s.io', `${optionsKind(call)}Options`, '', errors)
    return given
  }
  const agent = call.request.headers['user-agent'] ?? ''
  const name = (agent.split('/')[0] ?? '').replace(/\p{C}/gu, '').slice(0, maxNameLength)
  return name === '' ? 'unknown' : name
}
const optionsKind = (call: ResourceRequest): string =>
  ({ create: 'Create', update: 'Update', patch: 'Patch' })[call.info.verb] ?? 'Update'

/** Who writes, as the tracker wants to know. */
export function writerOf(call: ResourceRequest, subresource: string): Writer {
  const ignored = ignoredFields(call, subresource)
  return {
    manager: managerOf(call),
    apiVersion: call.resource.apiVersion,
    nowMs: call.server.clock.now(),
    ...(subresource === '' ? {} : { subresource }),
    ...(ignored === undefined ? {} : { ignored }),
  }
}

/** Records an ordinary write of `draft` over `live` in the draft's managedFields. */
export function recordWrite(
  call: ResourceRequest,
  draft: ObjectDraft,
  live: KubeObject | undefined,
  subresource: string,
): void {
  const { resource } = call
  const shown = (object: KubeObject) => versionedObject(resource, object) as unknown as JsonObject
  const entries = trackUpdate(
    resource.schema,
    live === undefined ? undefined : shown(live),
    shown(draft as KubeObject),
    writerOf(call, subresource),
  )
  if (entries.length === 0) delete draft.metadata.managedFields
  else draft.metadata.managedFields = entries as typeof draft.metadata.managedFields
}

/** force= of an apply. Throws where it stands on another kind of patch. */
export function forceOf(call: ResourceRequest, isApply: boolean): boolean {
  const value = call.info.query.get('force')
  if (value === null || value === '') return false
  if (!isApply) {
    throw invalid('meta.k8s.io', 'PatchOptions', '', [
      { type: 'FieldValueForbidden', field: 'force', message: 'Forbidden: may not be specified for non-apply patch' },
    ])
  }
  if (value !== 'true' && value !== 'false')
    throw badRequest(`strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`)
  return value === 'true'
}
