// A cluster for scheduler tests: the real API server over the memory store, on a clock that moves by hand, without kubelets.
import { builtinKinds } from '../../api/kinds.ts'
import { events } from '../../api/core/event.ts'
import { type Node, nodes } from '../../api/core/node.ts'
import { type Pod, pods } from '../../api/core/pod.ts'
import { serviceAccounts } from '../../api/core/service-account.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import { createApiServer } from '../../apiserver/server.ts'
import { createClient } from '../../client/api-client.ts'
import type { Client, Input } from '../../client/client.ts'
import { createInformerFactory, type InformerFactory } from '../../client/informer.ts'
import { type CollectedLog, collectingLog, seededRandom } from '../../client/testing/fixtures.ts'
import { type ManualClock, manualClock } from '../../client/testing/manual-clock.ts'
import { openMemoryStore } from '../../store/memory.ts'
import { type Scheduler, type SchedulerOptions, startScheduler } from '../scheduler.ts'

export interface SchedulerCluster {
  readonly client: Client
  readonly clock: ManualClock
  readonly informers: InformerFactory
  readonly log: CollectedLog
  readonly scheduler: Scheduler
  /** Lets everything that is due happen, and `ms` of virtual time pass. */
  advance(ms?: number): Promise<void>
  node(name: string, change?: (node: Draft<Input<Node>>) => void): Promise<void>
  /** Creates a pod of one container in the namespace "default". */
  pod(name: string, change?: (pod: Draft<Input<Pod>>) => void): Promise<Pod>
  get(name: string): Promise<Pod>
  /** Node names by pod name; '' for those on none. */
  placements(): Promise<Record<string, string>>
  /** "type reason: message" of the events about an object, oldest first. */
  eventsOf(name: string): Promise<readonly string[]>
  stop(): Promise<void>
}

const noIdentity = {
  ca: {
    certificatePem: '',
    sign: () => Promise.reject(new Error('signs nothing')),
    inspect: () => Promise.reject(new Error('inspects nothing')),
  },
  tokens: {
    issuer: 'https://kubernetes.default.svc',
    sign: () => Promise.resolve('token'),
    verify: () => Promise.resolve(undefined),
    jwks: () => Promise.resolve({ keys: [] }),
  },
}

export async function schedulerCluster(options: Partial<SchedulerOptions> = {}): Promise<SchedulerCluster> {
  const clock = manualClock()
  const random = seededRandom(7)
  const log = collectingLog()
  const store = openMemoryStore({ clock })
  const unavailable = () => Promise.reject(new ApiError('ServiceUnavailable', 'there are no nodes here'))
  const server = await createApiServer({
    store,
    kinds: builtinKinds,
    clock,
    random,
    identity: noIdentity,
    nodes: { connect: unavailable },
    log,
  })
  const client = createClient(server.transport({ name: 'system:admin', groups: ['system:masters'] }))
  const informers = createInformerFactory({ client, clock, random, log })
  await client.resource(serviceAccounts).create({ metadata: { name: 'default', namespace: 'default' } })
  const scheduler = startScheduler({ client, informers, clock, random, log, ...options })
  const cluster: SchedulerCluster = {
    client,
    clock,
    informers,
    log,
    scheduler,
    async advance(ms = 0) {
      for (let i = 0; i < 40; i++) await clock.advance(0)
      if (ms === 0) return
      await clock.advance(ms)
      for (let i = 0; i < 40; i++) await clock.advance(0)
    },
    async node(name, change) {
      const node: Draft<Input<Node>> = {
        metadata: { name, labels: { 'kubernetes.io/hostname': name } },
        spec: {},
        status: { allocatable: { cpu: '4', memory: '8Gi', pods: '110' }, capacity: {} },
      }
      change?.(node)
      const created = await client.resource(nodes).create(node as Input<Node>)
      // the server taints new nodes until they are ready; these are
      const taints = (node.spec as Node['spec']).taints
      const spec = { ...created.spec, ...(taints === undefined ? {} : { taints }) }
      const open = taints === undefined ? { ...spec, taints: [] } : spec
      const updated = await client.resource(nodes).update({ ...created, spec: open })
      await client.resource(nodes).updateStatus({ ...updated, status: node.status as Node['status'] })
    },
    async pod(name, change) {
      const pod: Draft<Input<Pod>> = {
        metadata: { name, namespace: 'default' },
        spec: {
          schedulerName: 'default-scheduler',
          containers: [{ name: 'c', image: 'x' }],
        } as unknown as Draft<Pod['spec']>,
      }
      change?.(pod)
      return client.resource(pods).create(pod as Input<Pod>)
    },
    get: (name) => client.resource(pods).get(name, 'default'),
    async placements() {
      const { items } = await client.resource(pods).list({ namespace: 'default' })
      return Object.fromEntries(items.map((pod) => [pod.metadata.name, pod.spec.nodeName ?? '']))
    },
    async eventsOf(name) {
      const { items } = await client.resource(events).list()
      const about = items.filter((event) => event.involvedObject.name === name)
      return about
        .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
        .map(({ type, reason, message }) => `${type} ${reason}: ${message}`)
    },
    async stop() {
      await scheduler.stop()
      informers.stop()
      await server.close()
      await store.close()
    },
  }
  await scheduler.ready
  return cluster
}
/** Asks for resources in the first container. */
export const requesting = (requests: Record<string, string>) => (pod: Draft<Input<Pod>>) => {
  const [container] = pod.spec.containers
  if (container !== undefined) container.resources = { requests }
}
