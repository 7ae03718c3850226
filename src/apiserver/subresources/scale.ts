// The scale subresource: the number of replicas of anything that has one, in one shape for all of them.
import { badRequest, type FieldError, invalid, invalidField } from '../../api/machinery/errors.ts'
import { ageCell } from '../../api/machinery/age.ts'
import { ageColumn, column, nameColumn } from '../../api/core/workload-table.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import type { ScaleMapping, TableDefinition } from '../../api/machinery/kind.ts'
import { formatSelector, selectorOf } from '../../api/machinery/labels.ts'
import type { KubeObject, LabelSelector } from '../../api/machinery/meta.ts'
import type { Json, JsonObject } from '../../api/machinery/schema.ts'
import type { Facade } from '../admission/admission.ts'
import type { ObjectDraft } from '../codec.ts'
import type { ResourceRequest } from '../context.ts'
import { currentEntry } from '../handlers/get.ts'
import { patchedValue } from '../handlers/patch.ts'
import { mainRule, writeChanged } from '../handlers/update.ts'
import type { Outcome } from '../responders/outcome.ts'
import { objectIn } from '../storage/boundary.ts'
import { decodeBody, readBodyOf, type BodyKind } from './body.ts'
import type { SubresourceHandlers } from './all.ts'
import { scaleKind } from './body-kinds.ts'

const expected: BodyKind = { kind: 'Scale', apiVersions: ['autoscaling/v1'], schema: scaleKind.schema }
interface Scale {
  readonly metadata: { readonly name?: string; readonly uid?: string; readonly resourceVersion?: string }
  readonly spec: { readonly replicas?: number }
}

export const scale: SubresourceHandlers = {
  async get(call) {
    const entry = await currentEntry(call)
    return shown(scaleOf(call, await objectIn(call.resource, entry)))
  },
  async update(call) {
    const wanted = await readBodyOf<Scale>(call, expected)
    return write(call, () => wanted)
  },
  async patch(call) {
    const apply = await patchedValue(call, scaleKind.schema)
    return write(call, (current) => decodeBody<Scale>(apply(current as unknown as Json), expected))
  },
}

const table: TableDefinition<ReturnType<typeof scaleOf>> = {
  columns: [nameColumn, column('Desired', 'integer'), column('Available', 'integer'), ageColumn],
  row: ({ metadata, spec, status }, nowMs) => [
    metadata.name,
    spec.replicas ?? 0,
    status.replicas,
    ageCell(metadata.creationTimestamp, nowMs),
  ],
}
const shown = (object: object): Outcome => ({ kind: 'object', status: 200, object, table })

async function write(call: ResourceRequest, decide: (current: object) => Scale): Promise<Outcome> {
  const mapping = mappingOf(call)
  const entry = await currentEntry(call)
  let pinned = false
  const outcome = await writeChanged(
    call,
    { ...mainRule(call), subresource: 'scale', facade: facadeOf(call) },
    entry,
    async (_attempt, current) => {
      const object = await objectIn(call.resource, current)
      const wanted = decide(scaleOf(call, object))
      const { name } = wanted.metadata
      if (name !== undefined && name !== '' && name !== call.info.name) {
        throw badRequest(`the name of the object (${name}) does not match the name on the URL (${call.info.name})`)
      }
      checkReplicas(call, wanted)
      const draft = draftOf(object) as ObjectDraft
      draft.metadata.resourceVersion = wanted.metadata.resourceVersion ?? ''
      pinned = call.info.verb === 'update' && draft.metadata.resourceVersion !== ''
      if (wanted.metadata.uid !== undefined && wanted.metadata.uid !== '') draft.metadata.uid = wanted.metadata.uid
      put(draft as unknown as Record<string, unknown>, mapping.specReplicasPath, wanted.spec.replicas ?? 0)
      return draft
    },
    { retry: !pinned },
  )
  const object =
    outcome.kind === 'entry'
      ? await objectIn(call.resource, outcome.entry)
      : outcome.kind === 'unstored'
        ? outcome.object
        : undefined
  return object === undefined ? outcome : shown(scaleOf(call, object as KubeObject))
}

/** Admission sees a Scale, and may change its replicas. */
const facadeOf = (call: ResourceRequest): Facade => ({
  shape: { apiVersion: 'autoscaling/v1', kind: 'Scale', schema: scaleKind.schema },
  show: (object) => scaleOf(call, object) as unknown as JsonObject,
  take(draft, shown) {
    const { replicas } = (shown as unknown as Scale).spec
    put(draft as unknown as Record<string, unknown>, mappingOf(call).specReplicasPath, replicas ?? 0)
  },
})

function checkReplicas(call: ResourceRequest, { spec }: Scale): void {
  const replicas = spec.replicas ?? 0
  const errors: FieldError[] = []
  if (replicas < 0) errors.push(invalidField('spec.replicas', replicas, 'must be greater than or equal to 0'))
  if (errors.length > 0) throw invalid('autoscaling', 'Scale', call.info.name, errors)
}

function mappingOf(call: ResourceRequest): ScaleMapping {
  const mapping = call.resource.kind.subresources?.scale
  if (mapping === undefined) throw new Error(`${call.resource.kind.plural} has no scale`)
  return mapping
}

function scaleOf(call: ResourceRequest, object: KubeObject) {
  const mapping = mappingOf(call)
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata
  const number = (path: readonly string[]): number => {
    const value = at(object, path)
    return typeof value === 'number' ? value : 0
  }
  const replicas = number(mapping.specReplicasPath)
  const selector = mapping.labelSelectorPath === undefined ? '' : selectorText(at(object, mapping.labelSelectorPath))
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid, resourceVersion, creationTimestamp },
    spec: replicas === 0 ? {} : { replicas },
    status: { replicas: number(mapping.statusReplicasPath), ...(selector === '' ? {} : { selector }) },
  }
}

/** A selector as text, from text, a LabelSelector or plain labels. */
function selectorText(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value !== 'object' || value === null) return ''
  const isSelector = 'matchLabels' in value || 'matchExpressions' in value
  const selector = isSelector ? (value as LabelSelector) : { matchLabels: value as Record<string, string> }
  return formatSelector(selectorOf(selector) ?? [])
}

const at = (object: object, path: readonly string[]): unknown => {
  let value: unknown = object
  for (const key of path)
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined
  return value
}
function put(draft: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path
  if (key === undefined) return
  if (rest.length === 0) {
    draft[key] = value
    return
  }
  const child = (draft[key] ??= {})
  put(child as Record<string, unknown>, rest, value)
}
