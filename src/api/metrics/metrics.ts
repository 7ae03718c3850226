// metrics.k8s.io/v1beta1 NodeMetrics and PodMetrics: what nodes and pods use now. Told when asked for, never stored.
// (https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/)
import { column, nameColumn } from '../core/workload-table.ts'
import { resourceList } from '../core/scalars.ts'
import { defineKind, type Column } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { addQuantities, formatQuantity, type Quantity, quantityOf } from '../machinery/quantity.ts'
import { array, object, required, string, time } from '../machinery/schema.ts'

const METRICS = 'io.k8s.metrics.pkg.apis.metrics.v1beta1.'
/** When it was measured, and over which time (a Go duration such as 15.02s): rates are averages over it. */
const interval = { timestamp: required(2, time()), window: required(3, string({ format: 'duration' })) }
const usage = required(4, resourceList)

const nodeSchema = kindSchema(`${METRICS}NodeMetrics`, { ...interval, usage })
export interface NodeMetrics extends ObjectOf<typeof nodeSchema> {}

const podSchema = kindSchema(`${METRICS}PodMetrics`, {
  ...interval,
  containers: required(
    4,
    array(object(`${METRICS}ContainerMetrics`, { name: required(1, string()), usage: required(2, resourceList) }), {
      listType: 'atomic',
    }),
  ),
})
export interface PodMetrics extends ObjectOf<typeof podSchema> {}

const columns: readonly Column[] = [nameColumn, column('cpu'), column('memory'), column('Window')]
interface Used {
  readonly usage?: Readonly<Record<string, string>>
}
/** The amount of all together. */
const sum = (parts: readonly Used[], resource: string): string =>
  formatQuantity(
    parts.reduce<Quantity>(
      (all, { usage: used }) => addQuantities(all, used?.[resource] ?? '0'),
      quantityOf(0, resource === 'memory' ? 'BinarySI' : 'DecimalSI'),
    ),
  )
const cells = (parts: readonly Used[]) => ['cpu', 'memory'].map((resource) => sum(parts, resource))

export const nodeMetrics = defineKind<NodeMetrics>({
  group: 'metrics.k8s.io',
  version: 'v1beta1',
  kind: 'NodeMetrics',
  plural: 'nodes',
  singular: '',
  namespaced: false,
  schema: nodeSchema,
  verbs: ['get', 'list'],
  storagePrefix: '/registry/metrics.k8s.io/nodes',
  table: { columns, row: (node) => [node.metadata.name, ...cells([node]), node.window] },
})
export const podMetrics = defineKind<PodMetrics>({
  group: 'metrics.k8s.io',
  version: 'v1beta1',
  kind: 'PodMetrics',
  plural: 'pods',
  singular: '',
  namespaced: true,
  schema: podSchema,
  verbs: ['get', 'list'],
  storagePrefix: '/registry/metrics.k8s.io/pods',
  table: {
    columns,
    row: (pod) => [pod.metadata.name, ...cells(pod.containers), pod.window],
  },
})
