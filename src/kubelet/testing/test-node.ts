// One kubelet under the real API server on a clock that moves by hand, with a fake runtime and a disk in memory.
import { builtinKinds } from '../../api/kinds.ts'
import { configMaps } from '../../api/core/config-map.ts'
import { events } from '../../api/core/event.ts'
import { type Pod, pods } from '../../api/core/pod.ts'
import { serviceAccounts } from '../../api/core/service-account.ts'
import { createApiServer } from '../../apiserver/server.ts'
import { createClient } from '../../client/api-client.ts'
import type { Client } from '../../client/client.ts'
import { createInformerFactory } from '../../client/informer.ts'
import { collectingLog, type CollectedLog, seededRandom } from '../../client/testing/fixtures.ts'
import { type ManualClock, manualClock } from '../../client/testing/manual-clock.ts'
import type { DevicePlugins } from '../../ports/device-plugins.ts'
import type { Identity } from '../../ports/identity.ts'
import type { MachineFacts } from '../../ports/node-host.ts'
import type { NodePlugins } from '../../ports/node-plugins.ts'
import type { PodResourcesSockets } from '../../ports/pod-resources.ts'
import { openMemoryStore } from '../../store/memory.ts'
import type { KubeletConfig } from '../config.ts'
import { type Kubelet, startKubelet, type StopOptions } from '../kubelet.ts'
import { type FakeHost, fakeHost, type FakeProber, fakeProber } from './fake-host.ts'
import { type FakeRuntime, fakeRuntime, imageOf } from './fake-runtime.ts'
import { type MemoryDisk, memoryDisk } from './memory-disk.ts'

const identity: Identity = {
  ca: {
    certificatePem: 'ca',
    sign: () => Promise.resolve(''),
    inspect: () => Promise.reject(new Error('not here')),
  },
  tokens: {
    issuer: 'https://kubernetes.default.svc',
    sign: (claims) => Promise.resolve(`token of ${claims.sub}`),
    verify: () => Promise.resolve(undefined),
    jwks: () => Promise.resolve({ keys: [] }),
  },
}

export interface TestNode {
  readonly client: Client
  readonly clock: ManualClock
  readonly log: CollectedLog
  readonly runtime: FakeRuntime
  readonly disk: MemoryDisk
  readonly host: FakeHost
  readonly prober: FakeProber
  kubelet: Kubelet
  /** Lets everything that is due happen, and `ms` pass. */
  advance(ms?: number): Promise<void>
  /** Creates a pod on the node; fields as a user writes them. */
  create(name: string, spec: Readonly<Record<string, unknown>>, metadata?: Partial<Pod['metadata']>): Promise<Pod>
  pod(name: string): Promise<Pod>
  /** "Reason: message" of every event about a pod, in order of time. */
  events(name: string): Promise<readonly string[]>
  /** Stops the kubelet and starts another on the same node. */
  restart(options?: StopOptions): Promise<void>
  stop(): Promise<void>
}

export interface TestNodeParts {
  readonly machine?: Partial<MachineFacts>
  readonly devicePlugins?: DevicePlugins
  readonly nodePlugins?: NodePlugins
  readonly podResources?: PodResourcesSockets
}
export async function testNode(config: Partial<KubeletConfig> = {}, parts: TestNodeParts = {}): Promise<TestNode> {
  const clock = manualClock()
  const random = seededRandom(7)
  const log = collectingLog()
  const store = openMemoryStore({ clock })
  const nodes = { connect: () => Promise.reject(new Error('not dialled')) }
  const server = await createApiServer({ store, kinds: builtinKinds, clock, random, identity, nodes, log })
  const client = createClient(server.transport({ name: 'system:admin', groups: ['system:masters'] }))
  await client.resource(serviceAccounts).create({ metadata: { name: 'default', namespace: 'default' } })
  await client.resource(configMaps).create({
    metadata: { name: 'kube-root-ca.crt', namespace: 'default' },
    data: { 'ca.crt': 'ca' },
  })
  const disk = memoryDisk()
  disk.put('/etc/resolv.conf', 'nameserver 192.168.0.1\nsearch example.com\n')
  disk.put('/etc/hosts', '127.0.0.1 localhost\n')
  const runtime = fakeRuntime(clock, disk)
  runtime.images.set('img:1', imageOf('img:1'))
  const host = fakeHost(parts.machine)
  const prober = fakeProber()
  const informersOf = () => createInformerFactory({ client, clock, random, log })
  let informers = informersOf()
  const start = () =>
    startKubelet({
      client,
      informers,
      runtime,
      disk,
      host,
      prober,
      ...(parts.devicePlugins === undefined ? {} : { devicePlugins: parts.devicePlugins }),
      ...(parts.nodePlugins === undefined ? {} : { nodePlugins: parts.nodePlugins }),
      ...(parts.podResources === undefined ? {} : { podResources: parts.podResources }),
      clock,
      random,
      log,
      nodeName: 'n1',
      config: { clusterDns: ['10.96.0.10'], ...config },
    })
  const node: TestNode = {
    client,
    clock,
    log,
    runtime,
    disk,
    host,
    prober,
    kubelet: await start(),
    async advance(ms = 0) {
      for (let i = 0; i < 30; i++) await clock.advance(0)
      if (ms === 0) return
      await clock.advance(ms)
      for (let i = 0; i < 30; i++) await clock.advance(0)
    },
    create: (name, spec, metadata = {}) =>
      client.resource(pods).create({
        metadata: { name, namespace: 'default', ...metadata },
        spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'img:1' }], ...spec },
      } as never),
    pod: (name) => client.resource(pods).get(name, 'default'),
    async events(name) {
      const { items } = await client.resource(events).list()
      return items
        .filter((event) => event.involvedObject.name === name)
        .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
        .map((event) => `${event.reason}: ${event.message}`)
    },
    async restart(options) {
      await node.kubelet.stop(options)
      informers.stop()
      informers = informersOf()
      node.kubelet = await start()
      await node.advance()
    },
    async stop() {
      await node.kubelet.stop()
      informers.stop()
      await server.close()
      await store.close()
    },
  }
  await node.advance()
  return node
}
