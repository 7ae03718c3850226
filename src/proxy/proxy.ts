// The service proxy of one node: watches Services, EndpointSlices and NetworkPolicies, plans what changed and hands the
// whole to the dataplane. A rule that did not change keeps its identity, so the dataplane compares references.
import { namespaces } from '../api/core/namespace.ts'
import { type Node, nodes } from '../api/core/node.ts'
import { pods } from '../api/core/pod.ts'
import { type Service, services } from '../api/core/service.ts'
import { type EndpointSlice, endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { equal } from '../api/machinery/equal.ts'
import { inIpRanges, type IpRange } from '../api/machinery/ip-range.ts'
import { type NetworkPolicy, networkPolicies } from '../api/networking/network-policy.ts'
import type { EventRecorder } from '../client/event-recorder.ts'
import type { IndexBy, Informer, InformerFactory } from '../client/informer.ts'
import { keyOf } from '../client/informer.ts'
import { createSettleLoop } from '../client/settle-loop.ts'
import type { Clock } from '../ports/clock.ts'
import type { Dataplane, DataplaneState, PolicyRule, Protocol, ServiceRule } from '../ports/dataplane.ts'
import type { HttpEdge } from '../ports/http-edge.ts'
import type { Log } from '../ports/log.ts'
import { announcerOf, announcersFor, announcingNodes } from './announcers.ts'
import { createHealthChecks } from './health-checks.ts'
import { createNodePorts } from './node-ports.ts'
import { planPolicies } from './plan-policies.ts'
import { planHealthCheck, planService, type ProxyNode, serviceNameLabel } from './plan-services.ts'
import { createPolicyLag } from './policy-lag.ts'

export interface ProxyOptions {
  readonly informers: InformerFactory
  readonly dataplane: Dataplane
  readonly clock: Clock
  readonly log: Log
  readonly nodeName: string
  readonly podCidrs: readonly string[]
  readonly serviceCidrs: readonly string[]
  /** Cluster addresses that this node answers itself. */
  readonly ownAddresses: readonly string[]
  /** Serves health check node ports; without it there are none. */
  readonly edge?: HttpEdge
  /** Tells users what this node cannot do for a Service. */
  readonly recorder?: EventRecorder
  /** Protocols that the kernel of this machine does not know. Default: none. */
  readonly unsupported?: readonly Protocol[]
  /** Load balancer addresses that this cluster's nodes answer on their link, one node for each. Default: none. */
  readonly loadBalancerPool?: readonly IpRange[]
}
export interface Proxy {
  /** Resolves when the kernel holds everything that the API said at the start. */
  readonly synced: Promise<void>
  stop(): Promise<void>
}

const byService: IndexBy<EndpointSlice> = (slice) => {
  const name = slice.metadata.labels?.[serviceNameLabel]
  return name === undefined ? [] : [`${slice.metadata.namespace ?? ''}/${name}`]
}
const noPolicies: readonly PolicyRule[] = []
const zoneLabel = 'topology.kubernetes.io/zone'
/** A refused transaction is tried again after this long, or at the next change. */
const retryMs = 1000

/** Tells users, once for each Service, of a protocol that this node's kernel does not know. */
function tellOnce({ nodeName, recorder, unsupported = [] }: ProxyOptions) {
  const told = new Map<string, string>()
  return (key: string, service: Service | undefined): void => {
    const lacking = unsupported.filter((name) => service?.spec.ports?.some(({ protocol }) => protocol === name))
    if (service === undefined || lacking.length === 0) return void told.delete(key)
    const what = `${service.metadata.uid} ${lacking.join()}`
    if (told.get(key) === what) return
    told.set(key, what)
    const message = `node ${nodeName} cannot serve ${lacking.join(', ')} ports: its kernel has no ${lacking.join(', ')}`
    recorder?.event(service, 'Warning', 'ProtocolNotSupported', message)
  }
}

/** Tells users of a node port that a program of this machine has, and of its being served after all. */
function tellHeld({ nodeName, recorder, log }: ProxyOptions, service: Service, rule: ServiceRule, held: boolean): void {
  const port = `"nodePort for ${rule.key}" (:${rule.nodePort}/${rule.protocol.toLowerCase()})`
  log.info(held ? 'a node port is held by a program of this machine' : 'a node port is free now', { port })
  if (held)
    recorder?.event(
      service,
      'Warning',
      'FailedToOpenNodePort',
      `node ${nodeName} can't open port ${port}, skipping it: address already in use`,
    )
  else recorder?.event(service, 'Normal', 'NodePortOpened', `node ${nodeName} opened port ${port}`)
}

/** Starts the proxy; nothing is applied before the first lists are in. */
export function startProxy(options: ProxyOptions): Proxy {
  const { informers, dataplane, clock, log, nodeName } = options
  let node: ProxyNode = { name: nodeName, zone: undefined }
  let announcing: readonly string[] = []
  const serviceInformer = informers.informer(services)
  const sliceInformer = informers.informer(endpointSlices)
  const policyInformer = informers.informer(networkPolicies)
  const nodeInformer = informers.informer(nodes)
  const slicesOf = sliceInformer.index(byService)
  const refused = (key: string, port: number, error: unknown) => {
    const why = error instanceof Error ? error.message : String(error)
    const message = `node ${nodeName} failed to start healthcheck ${JSON.stringify(key)} on port ${port}: ${why}`
    log.error('a health check node port cannot be served', { service: key, error: why })
    const service = serviceInformer.byKey(key)
    if (service !== undefined) options.recorder?.event(service, 'Warning', 'FailedToStartServiceHealthcheck', message)
  }
  const health = options.edge === undefined ? undefined : createHealthChecks(options.edge, clock, refused)
  const lag = createPolicyLag(nodeName, clock, options.recorder)
  const planned = new Map<string, readonly ServiceRule[]>()
  const dirty = new Set<string>()
  let stopped = false
  let firstDone: () => void = () => {}
  const synced = new Promise<void>((done) => {
    firstDone = done
  })
  const loop = createSettleLoop(
    clock,
    retryMs,
    async () => {
      await applyAll()
      firstDone()
    },
    (error) =>
      log.error('packet rules were refused', { error: error instanceof Error ? error.message : String(error) }),
  )
  const { poke } = loop

  // Pods and namespaces matter only while there is a policy: they are not watched for nothing.
  let policyWorld: { readonly pods: Informer<never>; readonly namespaces: Informer<never> } | undefined
  /** The rules as of the last change of a policy, pod or namespace; undefined where they must be made anew. */
  let policyRules: readonly PolicyRule[] | undefined
  const pokePolicies = () => {
    policyRules = undefined
    poke()
  }
  async function policies(): Promise<readonly PolicyRule[]> {
    const list = [...policyInformer.list()]
    if (list.length === 0) return noPolicies
    const podInformer = informers.informer(pods)
    const namespaceInformer = informers.informer(namespaces)
    if (policyWorld === undefined) {
      policyWorld = { pods: podInformer as never, namespaces: namespaceInformer as never }
      await Promise.all([podInformer.synced, namespaceInformer.synced])
      podInformer.handle({
        add: (_pod, initial) => initial || pokePolicies(),
        update: (pod, old) => {
          if (
            pod.status.podIPs !== old.status.podIPs ||
            pod.metadata.labels !== old.metadata.labels ||
            pod.status.phase !== old.status.phase
          )
            pokePolicies()
        },
        delete: pokePolicies,
      })
      namespaceInformer.handle({
        add: (_namespace, initial) => initial || pokePolicies(),
        update: (namespace, old) => namespace.metadata.labels === old.metadata.labels || pokePolicies(),
        delete: pokePolicies,
      })
    }
    policyRules ??= planPolicies({
      policies: list,
      namespaces: [...namespaceInformer.list()],
      pods: [...podInformer.list()],
      nodeName,
    })
    return policyRules
  }

  const tellUnsupported = tellOnce(options)
  const nodePorts =
    dataplane.heldPorts === undefined
      ? undefined
      : createNodePorts({
          clock,
          heldPorts: async () => (await dataplane.heldPorts?.()) ?? new Set(),
          poke,
          onChange(key, rule, held) {
            const service = serviceInformer.byKey(key)
            if (service !== undefined) tellHeld(options, service, rule, held)
          },
        })
  function replan(key: string): void {
    const service: Service | undefined = serviceInformer.byKey(key)
    tellUnsupported(key, service)
    const rules = service === undefined ? [] : planService(service, slicesOf.get(key), node)
    health?.set(key, service === undefined ? undefined : planHealthCheck(service, slicesOf.get(key), node))
    const old = planned.get(key) ?? []
    if (rules.length === 0) planned.delete(key)
    else {
      const kept = rules.map((rule) => old.find((o) => JSON.stringify(o) === JSON.stringify(rule)) ?? rule)
      planned.set(key, kept)
    }
    nodePorts?.set(key, planned.get(key) ?? [])
  }

  /** Pool addresses that are this node's to answer. */
  function announced(): readonly string[] {
    const { loadBalancerPool: pool = [] } = options
    if (pool.length === 0) return []
    const own = new Set<string>()
    for (const [key, rules] of planned) {
      const service = serviceInformer.byKey(key)
      const addresses = rules.flatMap(({ loadBalancerIPs }) => loadBalancerIPs.filter((ip) => inIpRanges(pool, ip)))
      if (service === undefined || addresses.length === 0) continue
      const candidates = announcersFor(service, slicesOf.get(key), announcing)
      for (const address of addresses) if (announcerOf(address, candidates) === nodeName) own.add(address)
    }
    return [...own]
  }
  async function applyAll(): Promise<void> {
    for (const key of dirty) replan(key)
    dirty.clear()
    await nodePorts?.look()
    const rules = [...planned.values()].flat()
    const services = nodePorts === undefined ? rules : rules.map((rule) => nodePorts.served(rule))
    const state: DataplaneState = {
      podCidrs: options.podCidrs,
      serviceCidrs: options.serviceCidrs,
      ownAddresses: options.ownAddresses,
      nodePortAddresses: [],
      announcedAddresses: announced(),
      services,
      policies: await policies(),
    }
    await lag.during(state.policies, () => dataplane.apply(state))
  }
  const touch = (key: string) => {
    dirty.add(key)
    poke()
  }
  /** Heartbeats change nothing of this. */
  const seeNodes = () => {
    if (options.loadBalancerPool === undefined) return
    const now = announcingNodes(nodeInformer.list())
    if (equal(now, announcing)) return
    announcing = now
    poke()
  }
  /** The node's zone is a label that may come late; hints are read by it. */
  const seeNode = ({ metadata: { name, labels } }: Node) => {
    seeNodes()
    const zone = labels?.[zoneLabel]
    if (name !== nodeName || zone === node.zone) return
    node = { name, zone }
    for (const service of serviceInformer.list()) touch(keyOf(service))
  }
  const seePolicy = (policy: NetworkPolicy) => {
    lag.changed(policy)
    pokePolicies()
  }
  const forgetPolicy = (policy: NetworkPolicy) => {
    lag.gone(policy)
    pokePolicies()
  }
  const removers: (() => void)[] = []
  const caches = [serviceInformer, sliceInformer, policyInformer, nodeInformer]
  void Promise.all(caches.map(({ synced: listed }) => listed)).then(() => {
    if (stopped) return
    removers.push(
      nodeInformer.handle({ add: seeNode, update: seeNode, delete: seeNodes }),
      serviceInformer.handle({
        add: (s) => touch(keyOf(s)),
        update: (s, old) => {
          if (s.spec !== old.spec || s.status !== old.status) touch(keyOf(s))
        },
        delete: (s) => touch(keyOf(s)),
      }),
      sliceInformer.handle({
        add: (s) => byService(s).forEach(touch),
        update: (s, old) => {
          for (const key of new Set([...byService(s), ...byService(old)])) touch(key)
        },
        delete: (s) => byService(s).forEach(touch),
      }),
      policyInformer.handle({ add: seePolicy, update: seePolicy, delete: forgetPolicy }),
    )
    poke()
  })
  return {
    synced,
    async stop() {
      stopped = true
      await loop.stop()
      for (const remove of removers) remove()
      nodePorts?.stop()
      await health?.stop()
      options.recorder?.stop()
    },
  }
}
