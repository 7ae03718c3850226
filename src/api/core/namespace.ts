// core/v1 Namespace. Deleting one first empties it: the finalizer in its spec, not in its metadata, holds it until then.
import { ageCell } from '../machinery/age.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, type Infer, object, optional, required, string, struct } from '../machinery/schema.ts'
import { CORE } from './references.ts'
import { listByKey, text, texts, when } from './scalars.ts'
import { ageColumn, column, nameColumn } from './workload-table.ts'

export const namespaceCondition = object(`${CORE}NamespaceCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  lastTransitionTime: when(4),
  reason: text(5),
  message: text(6),
})
export interface NamespaceCondition extends Infer<typeof namespaceCondition> {}
const namespaceSpec = object(`${CORE}NamespaceSpec`, { finalizers: texts(1) })
const namespaceStatus = object(`${CORE}NamespaceStatus`, {
  phase: text(1),
  conditions: optional(2, array(namespaceCondition, listByKey('type'))),
})
const schema = kindSchema(`${CORE}Namespace`, { spec: struct(2, namespaceSpec), status: struct(3, namespaceStatus) })
export interface Namespace extends ObjectOf<typeof schema> {}

/** The finalizer that stands for "its contents are still there". */
export const namespaceFinalizer = 'kubernetes'
export const namespaceNameLabel = 'kubernetes.io/metadata.name'

export const namespaces = defineKind<Namespace>({
  group: '',
  version: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  singular: 'namespace',
  shortNames: ['ns'],
  namespaced: false,
  schema,
  verbs: ['create', 'get', 'list', 'watch', 'update', 'patch', 'delete'],
  storagePrefix: '/registry/namespaces',
  nameRule: 'dns-label',
  unconditionalUpdate: true,
  subresources: { status: true, custom: ['finalize'] },
  selectableFields: { 'status.phase': (n) => n.status.phase ?? '' },
  table: {
    columns: [nameColumn, column('Status'), ageColumn],
    row: (n, nowMs) => [n.metadata.name, n.status.phase ?? '', ageCell(n.metadata.creationTimestamp, nowMs)],
  },
  setDefaults: (draft) => {
    if (!draft.metadata.name) return
    draft.metadata.labels ??= {}
    draft.metadata.labels[namespaceNameLabel] = draft.metadata.name
  },
  prepareForCreate: (draft) => {
    draft.status = { phase: 'Active' }
    const finalizers = (draft.spec.finalizers ??= [])
    if (!finalizers.includes(namespaceFinalizer)) finalizers.push(namespaceFinalizer)
    // the name may have been generated after defaulting
    draft.metadata.labels = { ...draft.metadata.labels, [namespaceNameLabel]: draft.metadata.name }
  },
  prepareForUpdate: (draft, old) => {
    if (old.spec.finalizers === undefined) delete draft.spec.finalizers
    else draft.spec.finalizers = [...old.spec.finalizers]
  },
})
