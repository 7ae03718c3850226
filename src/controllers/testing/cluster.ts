// A cluster without nodes for controller tests: the real API server over the memory store, on a clock that moves by hand.
// A small stand-in for scheduler and kubelet binds pods and runs them, so that workloads come to rest.
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Kind } from '../../api/machinery/kind.ts'
import { formatTime } from '../../api/machinery/time.ts'
import { builtinKinds } from '../../api/kinds.ts'
import { bindings } from '../../api/core/binding.ts'
import { events } from '../../api/core/event.ts'
import { nodes as nodeKind } from '../../api/core/node.ts'
import { type Pod, pods as podKind } from '../../api/core/pod.ts'
import { createApiServer } from '../../apiserver/server.ts'
import { createClient } from '../../client/api-client.ts'
import type { Client } from '../../client/client.ts'
import { createInformerFactory, type InformerFactory, keyOf } from '../../client/informer.ts'
import { createWorkQueue } from '../../client/work-queue.ts'
import { collectingLog, type CollectedLog, seededRandom } from '../../client/testing/fixtures.ts'
import { type ManualClock, manualClock } from '../../client/testing/manual-clock.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import { type Transport, TransportError } from '../../ports/transport.ts'
import type { Identity } from '../../ports/identity.ts'
import { openMemoryStore } from '../../store/memory.ts'
import {
  type Controller,
  type ControllerContext,
  type ControllerSettings,
  startControllers,
} from '../framework/controller.ts'
import { serviceAccountController } from '../service-account.ts'
import { isPodTerminal } from '../framework/pods.ts'

const unavailable = () => Promise.reject(new ApiError('ServiceUnavailable', 'there are no nodes here'))
/** Keys that sign nothing real. */
export const fakeIdentity: Identity = {
  ca: {
    certificatePem: '-----BEGIN CERTIFICATE-----\ntest\n-----END CERTIFICATE-----\n',
    sign: ({ csrPem, usages }) => Promise.resolve(`signed ${csrPem} for ${usages.join('+')}`),
    inspect: (csrPem) => Promise.resolve(JSON.parse(csrPem.split('\n')[1] ?? '') as never),
  },
  tokens: {
    issuer: 'https://kubernetes.default.svc',
    sign: (claims) => Promise.resolve(JSON.stringify(claims)),
    verify: () => Promise.resolve(undefined),
    jwks: () => Promise.resolve({ keys: [] }),
  },
}

export interface TestCluster {
  readonly client: Client
  /** For requests that have no kind. */
  readonly transport: Transport
  readonly clock: ManualClock
  readonly informers: InformerFactory
  readonly log: CollectedLog
  readonly context: ControllerContext
  /** Lets everything that is due now happen, and `ms` of virtual time pass. */
  readonly advance: (ms?: number) => Promise<void>
  /** Lets time pass in steps until `check` holds; fails after ten virtual minutes. */
  readonly until: (what: string, check: () => Promise<boolean>) => Promise<void>
  /** Live objects of a kind, by name. */
  readonly all: <T extends KubeObject>(kind: Kind<T>, namespace?: string) => Promise<readonly T[]>
  /** "reason: message" of every event about an object of this name, oldest first. */
  readonly eventsOf: (name: string) => Promise<readonly string[]>
  /** Ends the API server, with every watch, and starts another one on the same store. */
  readonly restartServer: () => Promise<void>
  readonly stop: () => Promise<void>
}

/** What becomes of a pod on its node: true runs it, false leaves it pending, a status is what it says, a number asks again
 * after so many milliseconds. */
export type Outcome = boolean | number | Partial<Pod['status']>
export interface TestOptions {
  readonly nodes?: number
  /** Served besides the built-in kinds. */
  readonly kinds?: readonly Kind[]
  readonly settings?: ControllerSettings
  readonly runs?: (pod: Pod) => Outcome
  /** What lies between the controllers and the server. */
  readonly wire?: (inner: Transport) => Transport
}

/** Starts the server and the given controllers, with `nodes` simulated nodes that run every pod they are given. */
export async function testCluster(controllers: readonly Controller[], options: TestOptions = {}): Promise<TestCluster> {
  const clock = manualClock()
  const random = seededRandom(7)
  const log = collectingLog()
  const store = openMemoryStore({ clock })
  const serverOptions = {
    store,
    kinds: [...builtinKinds, ...(options.kinds ?? [])],
    clock,
    random,
    identity: fakeIdentity,
    nodes: { connect: unavailable },
    settings: { advertiseAddress: '192.0.2.1' },
    log,
  }
  let server = await createApiServer(serverOptions)
  const admin = { name: 'system:admin', groups: ['system:masters'] }
  let life = new AbortController()
  const transport: Transport = {
    async send(request) {
      if (life.signal.aborted) throw new TransportError('dial tcp: connection refused')
      const signal = request.signal === undefined ? life.signal : AbortSignal.any([life.signal, request.signal])
      return server.transport(admin).send({ ...request, signal })
    },
  }
  const client = createClient(transport)
  const informers = createInformerFactory({ client, clock, random, log })
  const wired = options.wire?.(transport)
  const ownClient = wired === undefined ? client : createClient(wired)
  const ownInformers =
    wired === undefined ? informers : createInformerFactory({ client: ownClient, clock, random, log })
  const settings = options.settings ? { settings: options.settings } : {}
  const context = { client: ownClient, informers: ownInformers, clock, random, log, ...settings }
  const running = startControllers([serviceAccountController, ...controllers], context)
  const stopNodes =
    (options.nodes ?? 0) > 0
      ? await simulateNodes({ ...context, client, informers }, options.nodes ?? 0, options.runs)
      : () => {}
  const cluster: TestCluster = {
    client,
    transport,
    clock,
    informers,
    log,
    context,
    advance: (ms = 0) => settleFor(clock, ms),
    async until(what, check) {
      for (let i = 0; i < 600; i++) {
        if (await check()) return
        await settleFor(clock, 1000)
      }
      throw new Error(`never: ${what}`)
    },
    async all(kind, namespace) {
      const { items } = await client.resource(kind).list(namespace === undefined ? {} : { namespace })
      return [...items].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    },
    async eventsOf(name) {
      const { items } = await client.resource(events).list()
      return items
        .filter((event) => event.involvedObject.name === name)
        .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
        .map((event) => `${event.reason}: ${event.message}`)
    },
    async restartServer() {
      life.abort()
      let over = false
      const restarted = (async () => {
        await server.close()
        server = await createApiServer(serverOptions)
        life = new AbortController()
        over = true
      })()
      while (!over) await Promise.race([restarted, clock.advance(10)])
    },
    async stop() {
      stopNodes()
      await running.stop()
      informers.stop()
      ownInformers.stop()
      await server.close()
      await store.close()
    },
  }
  await cluster.advance()
  return cluster
}

/** Promise chains of many turns: the clock settles one macrotask per timer, so ask it often before time passes. */
async function settleFor(clock: ManualClock, ms: number): Promise<void> {
  for (let i = 0; i < 60; i++) await clock.advance(0)
  if (ms === 0) return
  await clock.advance(ms)
  for (let i = 0; i < 60; i++) await clock.advance(0)
}

/** Nodes n1, n2 ...; pods are bound in turn, become ready at once, and go when they are deleted. */
async function simulateNodes(
  { client, informers, clock, log }: ControllerContext,
  count: number,
  runs: (pod: Pod) => Outcome = () => true,
): Promise<() => void> {
  for (let i = 1; i <= count; i++) {
    await client.resource(nodeKind).create({ metadata: { name: `n${i}` }, spec: {} })
    const now = formatTime(clock.now())
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'KubeletReady',
      lastHeartbeatTime: now,
      lastTransitionTime: now,
    }
    const status = { conditions: [ready] }
    await client.resource(nodeKind).patch(`n${i}`, undefined, 'merge', { status }, { subresource: 'status' })
    // A new node is tainted until the node lifecycle controller has seen it ready.
    await client.resource(nodeKind).patch(`n${i}`, undefined, 'merge', { spec: { taints: null } })
  }
  const pods = informers.informer(podKind)
  let next = 0
  let address = 0
  const queue = createWorkQueue<string>({
    clock,
    parallel: 50,
    async run(key) {
      const pod = pods.byKey(key)
      if (pod === undefined) return
      const { name, namespace = '' } = pod.metadata
      if (pod.metadata.deletionTimestamp !== undefined)
        return client.resource(podKind).delete(name, namespace, { gracePeriodSeconds: 0 })
      if (!pod.spec.nodeName) {
        const pinned = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
        const wanted = pinned?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0]
        const target = { kind: 'Node', name: wanted ?? `n${(next++ % count) + 1}` }
        const binding = { apiVersion: 'v1', kind: bindings.kind, metadata: { name, namespace }, target }
        await client.resource(podKind).post(name, namespace, 'binding', binding)
        return
      }
      if (pod.status.phase !== 'Pending' || isPodTerminal(pod)) return
      const outcome = runs(pod)
      if (outcome === false) return
      if (typeof outcome === 'number') return outcome
      const lastTransitionTime = formatTime(clock.now())
      const podIP = `10.244.${Math.floor(++address / 250)}.${(address % 250) + 1}`
      const conditions = ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({
        type,
        status: 'True',
        lastTransitionTime,
      }))
      const status = {
        ...pod.status,
        phase: 'Running',
        podIP,
        podIPs: [{ ip: podIP }],
        conditions,
        ...(outcome === true ? {} : outcome),
      }
      await client.resource(podKind).updateStatus({ ...pod, status })
    },
    onError: (key, error) => log.debug('node: retry', { key, error: String(error) }),
  })
  const enqueue = (pod: Pod) => queue.add(keyOf(pod))
  const off = pods.handle({ add: enqueue, update: enqueue })
  return () => {
    off()
    void queue.stop()
  }
}
