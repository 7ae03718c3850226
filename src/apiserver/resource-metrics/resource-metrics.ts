// GET of metrics.k8s.io: the cluster's nodes and pods with what they use now. A node that does not answer is left out, as
// are pods that have no running container. An APIService with a Service takes the group over (metrics-server).
import type { Node } from '../../api/core/node.ts'
import type { Pod } from '../../api/core/pod.ts'
import { notFound } from '../../api/machinery/errors.ts'
import { freeze } from '../../api/machinery/freeze.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import { formatQuantity, quantityOf } from '../../api/machinery/quantity.ts'
import { apiVersionOf } from '../../api/machinery/kind.ts'
import { nodeMetrics, podMetrics } from '../../api/metrics/metrics.ts'
import { rfc3339 } from '../../ports/clock.ts'
import type { ResourceRequest, ServerContext } from '../context.ts'
import { mostRecent } from '../handlers/freshness.ts'
import type { Outcome } from '../responders/outcome.ts'
import type { Collection } from '../storage/collection.ts'
import { fieldSelectorOf, filterOf, labelSelectorOf } from '../watch/filter.ts'
import { nodeUsage, podUsage, type Usage, type UsageWindow } from './usage-windows.ts'

async function core(server: ServerContext, plural: 'nodes' | 'pods'): Promise<Collection> {
  const { collection } = server.resources.required('', plural)
  await mostRecent(server, collection)
  return collection
}
/** The nodes or pods that the request asks about. */
async function asked<T>({ server, info }: ResourceRequest, plural: 'nodes' | 'pods'): Promise<readonly T[]> {
  const collection = await core(server, plural)
  if (info.name !== '') {
    const entry = collection.find(info.namespace, info.name)
    if (entry === undefined)
      throw notFound(
        { group: '', resource: plural },
        info.namespace === '' ? info.name : `${info.namespace}/${info.name}`,
      )
    return [collection.object(entry) as unknown as T]
  }
  const labels = labelSelectorOf(info.query.get('labelSelector'))
  const fields = fieldSelectorOf(collection, info.query.get('fieldSelector'))
  const entries = filterOf(collection, info.namespace, labels, fields).select()
  return entries.map((entry) => collection.object(entry) as unknown as T)
}
/** Boundary: what a node does not tell is logged, and missing in the answer. */
async function windowsOf(server: ServerContext, names: Iterable<string>): Promise<ReadonlyMap<string, UsageWindow>> {
  const windows = new Map<string, UsageWindow>()
  await Promise.all(
    [...new Set(names)].map(async (node) => {
      try {
        windows.set(node, await server.usage.window(node))
      } catch (error) {
        server.log.info('a node does not tell what it uses', { node, error: String(error) })
      }
    }),
  )
  return windows
}

const amounts = ({ cpuNanoCores, memoryBytes }: Usage) => ({
  cpu: formatQuantity({ nanos: BigInt(cpuNanoCores), format: 'DecimalSI' }),
  memory: formatQuantity(quantityOf(memoryBytes, 'BinarySI')),
})
/** As Go writes durations under a minute. */
const windowText = (ms: number) => `${Math.round(ms) / 1000}s`
/** The head that both kinds share: who it is about, when, over which time. */
function head(server: ServerContext, { metadata }: KubeObject, usages: readonly Usage[]) {
  return {
    metadata: {
      name: metadata.name,
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      creationTimestamp: rfc3339(server.clock.now()),
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
    },
    timestamp: rfc3339(Math.min(...usages.map((usage) => usage.atMs))),
    window: windowText(Math.max(...usages.map((usage) => usage.windowMs))),
  }
}

function answer(call: ResourceRequest, objects: readonly object[]): Outcome {
  const { info, resource } = call
  const shown = freeze(objects) as unknown as readonly KubeObject[]
  if (info.name === '')
    return { kind: 'list', entries: [], objects: shown, revision: 0, continue: undefined, remaining: undefined }
  const [object] = shown
  if (object === undefined)
    throw notFound(
      { group: resource.group, resource: resource.kind.kind.toLowerCase() },
      info.namespace === '' ? info.name : `${info.namespace}/${info.name}`,
    )
  return { kind: 'unstored', status: 200, object }
}

export async function readNodeMetrics(call: ResourceRequest): Promise<Outcome> {
  const { server } = call
  const nodes = await asked<Node>(call, 'nodes')
  const windows = await windowsOf(
    server,
    nodes.map(({ metadata }) => metadata.name),
  )
  const objects: object[] = []
  for (const node of nodes) {
    const window = windows.get(node.metadata.name)
    const usage = window === undefined ? undefined : nodeUsage(window)
    if (usage === undefined) continue
    const about = head(server, node as unknown as KubeObject, [usage])
    objects.push({
      kind: nodeMetrics.kind,
      apiVersion: apiVersionOf(nodeMetrics),
      ...about,
      usage: amounts(usage),
    })
  }
  return answer(call, objects)
}

export async function readPodMetrics(call: ResourceRequest): Promise<Outcome> {
  const { server } = call
  const running = (await asked<Pod>(call, 'pods')).filter(({ spec }) => (spec.nodeName ?? '') !== '')
  const windows = await windowsOf(
    server,
    running.map(({ spec }) => spec.nodeName ?? ''),
  )
  const objects: object[] = []
  for (const pod of running) {
    const window = windows.get(pod.spec.nodeName ?? '')
    const { namespace = '', name } = pod.metadata
    const usages = window === undefined ? undefined : podUsage(window, `${namespace}/${name}`)
    if (usages === undefined) continue
    objects.push({
      kind: podMetrics.kind,
      apiVersion: apiVersionOf(podMetrics),
      ...head(server, pod as unknown as KubeObject, [...usages.values()]),
      containers: [...usages].map(([container, usage]) => ({ name: container, usage: amounts(usage) })),
    })
  }
  return answer(call, objects)
}
