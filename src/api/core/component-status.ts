// core/v1 ComponentStatus: the health of the control plane, computed when asked for. Deprecated; nothing is stored.
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, object, optional, required, string } from '../machinery/schema.ts'
import { CORE } from './references.ts'
import { listByKey, text } from './scalars.ts'
import { column, nameColumn } from './workload-table.ts'

const componentCondition = object(`${CORE}ComponentCondition`, {
  type: required(1, string()),
  status: required(2, string()),
  message: text(3),
  error: text(4),
})
const schema = kindSchema(`${CORE}ComponentStatus`, {
  conditions: optional(2, array(componentCondition, listByKey('type'))),
})
export interface ComponentStatus extends ObjectOf<typeof schema> {}

function healthCells(status: ComponentStatus): readonly string[] {
  const healthy = status.conditions?.find((condition) => condition.type === 'Healthy')
  const word = healthy?.status === 'True' ? 'Healthy' : healthy?.status === 'False' ? 'Unhealthy' : 'Unknown'
  return [word, healthy?.message ?? '', healthy?.error ?? '']
}

export const componentStatuses = defineKind<ComponentStatus>({
  group: '',
  version: 'v1',
  kind: 'ComponentStatus',
  plural: 'componentstatuses',
  singular: 'componentstatus',
  shortNames: ['cs'],
  namespaced: false,
  schema,
  verbs: ['get', 'list'],
  storagePrefix: '/registry/componentstatuses',
  table: {
    columns: [nameColumn, column('Status'), column('Message'), column('Error')],
    row: (c) => [c.metadata.name, ...healthCells(c)],
  },
})
