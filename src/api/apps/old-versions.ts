// apps/v1beta1, apps/v1beta2 and extensions/v1beta1 workloads: the fields of apps/v1 with the defaults of their day. In
// v1beta1 a missing selector meant the template's labels, and rollbackTo asked the server to go back.
import type { KindVersion } from '../machinery/kind.ts'
import { type Bag, bagOf, oldVersion } from '../machinery/old-version.ts'
import type { Draft, Field, JsonObject, ObjectSchema } from '../machinery/schema.ts'
import { int64, object, optional } from '../machinery/schema.ts'

const never = 2147483647

/** The template's labels select when nobody says otherwise; they also become the object's own labels. */
function selectorFromTemplate(draft: Draft<JsonObject>): Bag {
  const spec = bagOf(draft['spec'])
  const labels = bagOf(bagOf(bagOf(spec['template'])['metadata'])['labels'])
  const selector = bagOf(spec['selector'])
  if (Object.keys(labels).length === 0) return spec
  if (selector['matchLabels'] === undefined && selector['matchExpressions'] === undefined)
    spec['selector'] = { matchLabels: { ...labels } as JsonObject }
  const metadata = bagOf(draft['metadata'])
  if (Object.keys(bagOf(metadata['labels'])).length === 0) metadata['labels'] = { ...labels } as JsonObject
  return spec
}

/** The spec's schema with its selector no longer required, and rollbackTo beside it where there was one. */
function relaxed(schema: ObjectSchema, extra: Readonly<Record<string, Field>> = {}): ObjectSchema {
  const spec = schema.fields['spec']
  if (spec === undefined || spec.schema.type !== 'object') return schema
  const fields: Record<string, Field> = {}
  // The defaults of apps/v1 are not those of its predecessors; what is still open is filled after conversion.
  for (const [name, field] of Object.entries({ ...spec.schema.fields, ...extra })) {
    const { default: _later, ...bare } = field
    fields[name] = bare
  }
  const selector = fields['selector']
  if (selector !== undefined) fields['selector'] = { ...selector, presence: 'optional' }
  return { ...schema, fields: { ...schema.fields, spec: { ...spec, schema: { ...spec.schema, fields } } } }
}

const rollbackTo = optional(8, object('io.k8s.api.apps.v1beta1.RollbackConfig', { revision: optional(1, int64()) }))
/** Kept on the stored object for the Deployment controller, which carries the rollback out and removes it. */
const rollbackAnnotation = 'deprecated.deployment.rollback.to'

function rollbackToStored(draft: Draft<JsonObject>): void {
  const spec = bagOf(draft['spec'])
  if (spec['rollbackTo'] === undefined) return
  const revision = bagOf(spec['rollbackTo'])['revision'] ?? 0
  delete spec['rollbackTo']
  const metadata = bagOf(draft['metadata'])
  metadata['annotations'] = {
    ...bagOf(metadata['annotations']),
    [rollbackAnnotation]: String(revision as number),
  } as JsonObject
}

export function oldDeploymentVersions(schema: ObjectSchema): KindVersion[] {
  const shared = { kind: 'Deployment', instead: 'apps/v1', removed: 16 }
  const v1beta1 = relaxed(schema, { rollbackTo })
  return [
    oldVersion({ ...shared, group: 'apps', version: 'v1beta2', schema, deprecated: 9 }),
    oldVersion({
      ...shared,
      group: 'apps',
      version: 'v1beta1',
      schema: v1beta1,
      deprecated: 8,
      setDefaults: (draft) => {
        selectorFromTemplate(draft)['revisionHistoryLimit'] ??= 2
      },
      toStored: rollbackToStored,
    }),
    oldVersion({
      ...shared,
      group: 'extensions',
      version: 'v1beta1',
      schema: v1beta1,
      deprecated: 8,
      setDefaults: (draft) => {
        const spec = selectorFromTemplate(draft)
        spec['progressDeadlineSeconds'] ??= never
        spec['revisionHistoryLimit'] ??= never
        const strategy = bagOf(spec['strategy'])
        if ((strategy['type'] ?? 'RollingUpdate') !== 'RollingUpdate') return
        const update = bagOf(strategy['rollingUpdate'])
        spec['strategy'] = {
          ...strategy,
          type: 'RollingUpdate',
          rollingUpdate: {
            ...update,
            maxSurge: update['maxSurge'] ?? 1,
            maxUnavailable: update['maxUnavailable'] ?? 1,
          },
        } as JsonObject
      },
      toStored: rollbackToStored,
    }),
  ]
}

/** ReplicaSet and DaemonSet: apps/v1beta2, and extensions/v1beta1 where DaemonSets were updated by deletion. */
export function oldWorkloadVersions(kind: 'ReplicaSet' | 'DaemonSet', schema: ObjectSchema): KindVersion[] {
  const shared = { kind, instead: 'apps/v1', removed: 16 }
  return [
    oldVersion({ ...shared, group: 'apps', version: 'v1beta2', schema, deprecated: 9 }),
    oldVersion({
      ...shared,
      group: 'extensions',
      version: 'v1beta1',
      schema: relaxed(schema),
      deprecated: 8,
      setDefaults: (draft) => {
        const spec = selectorFromTemplate(draft)
        if (kind === 'DaemonSet')
          spec['updateStrategy'] = { type: 'OnDelete', ...bagOf(spec['updateStrategy']) } as JsonObject
      },
    }),
  ]
}

export const oldStatefulSetVersions = (schema: ObjectSchema): KindVersion[] => [
  oldVersion({
    group: 'apps',
    version: 'v1beta2',
    kind: 'StatefulSet',
    schema,
    deprecated: 9,
    removed: 16,
    instead: 'apps/v1',
  }),
  oldVersion({
    group: 'apps',
    version: 'v1beta1',
    kind: 'StatefulSet',
    schema: relaxed(schema),
    deprecated: 8,
    removed: 16,
    instead: 'apps/v1',
    setDefaults: (draft) => {
      const spec = selectorFromTemplate(draft)
      spec['updateStrategy'] = { type: 'OnDelete', ...bagOf(spec['updateStrategy']) } as JsonObject
    },
  }),
]

export const oldRevisionVersions = (schema: ObjectSchema): KindVersion[] =>
  ['v1beta2', 'v1beta1'].map((version) =>
    oldVersion({
      group: 'apps',
      version,
      kind: 'ControllerRevision',
      schema,
      deprecated: 8,
      removed: 16,
      instead: 'apps/v1',
    }),
  )
