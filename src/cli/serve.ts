// The control plane on this machine, with its node (`cox up`) or without (`cox server`). The API comes first, the node joins
// when its container runtime is there; whatever fails on the way takes away what was begun.
import os from 'node:os'
import { join } from 'node:path'
import { nodes } from '../api/core/node.ts'
import { type Cluster, startCluster } from '../cluster.ts'
import { networkNodeOf } from '../api/core/node-addresses.ts'
import { createClient } from '../client/api-client.ts'
import { AddressRangeError, type AskedRanges } from '../host/address-ranges.ts'
import { useCertificate } from '../host/certificate-renewal.ts'
import { removeNode } from '../host/cleanup.ts'
import type { HttpServer } from '../host/http-server.ts'
import { type Instance, instanceOf } from '../host/instance.ts'
import { type NetworkPlan, type NetworkPlan6, networkPlan } from '../host/network-plan.ts'
import { hostAddresses, linksOf } from '../host/node-host.ts'
import { type HostClusterPorts, hostPorts } from '../host/ports.ts'
import { serveKubeletPort } from '../host/remote-node/kubelet-port.ts'
import { createTunnels, type Tunnels } from '../host/remote-node/tunnels.ts'
import { systemClock } from '../host/system.ts'
import type { ClusterNetwork } from '../node.ts'
import type { Log } from '../ports/log.ts'
import type { NodeApi } from '../ports/node-api.ts'
import { startHistoryKeeper } from '../store/history.ts'
import type { SchedulerSettings } from '../scheduler-configuration.ts'
import type { Store } from '../store/store.ts'
import { CliError } from './command.ts'
import { kubeconfigPath, removeRunState, writeRunState } from './data-dir.ts'
import { openLog } from './log-file.ts'
import { type ApiChoice, openApi } from './api-flags.ts'
import { lockDataDir } from './data-lock.ts'
import { keepJoinObjects } from './join-objects.ts'
import { writeKubeconfig } from './kubeconfig-file.ts'
import {
  isOutOfSight,
  listen,
  type ListenAddress,
  type ListenOptions,
  localUrl,
  opener,
  podsReach,
  renewing,
} from './listen.ts'
import {
  checkIngressPorts,
  hasEarlierRun,
  kubeletConfigOf,
  nodeReady,
  sharedRuntimeOf,
  startLocalNode,
} from './local-node.ts'
import type { NodeSettings } from './node-flags.ts'
import type { Serving } from './service.ts'

export type StoreChoice = 'lmdb' | 'memory' | `etcd=${string}`
export interface ServeOptions {
  readonly dataDir: string
  readonly listen: ListenAddress | undefined
  readonly store: StoreChoice
  /** Addresses for Services of type LoadBalancer; empty for the nodes' own. */
  readonly loadBalancerPool: readonly string[]
  /** Pods and Services of IPv4 and IPv6. */
  readonly dualStack: boolean
  /** Ranges of pods and Services; what is not said is chosen. */
  readonly asked: AskedRanges
  /** A file of the user's to merge our context into. */
  readonly kubeconfig: string | undefined
  /** The node of this machine; undefined for a control plane alone. */
  readonly node: NodeSettings | undefined
  /** How other machines reach the API; default: the address on the default route. */
  readonly advertiseAddress: string | undefined
  readonly api: ApiChoice
  /** What a KubeSchedulerConfiguration says. */
  readonly scheduler: SchedulerSettings | undefined
  /** The secret of the servers of one etcd; undefined: the one in the data directory, or a new one. */
  readonly serverToken: string | undefined
}

/** Takes what was begun away again, last things first. */
type Undo = (() => unknown)[]

/** Starts a control plane; rejects with CliError or StoreOpenError, and then nothing is left but what an earlier run left. */
export async function serve(options: ServeOptions, onProgress: (text: string) => void): Promise<Serving> {
  const undo: Undo = [lockDataDir(options.dataDir)]
  try {
    return await start(options, onProgress, undo)
  } catch (error) {
    if (undo.length > 1) onProgress('taking away what was begun')
    for (const step of undo.toReversed()) await step()
    if (error instanceof AddressRangeError) throw new CliError(error.message)
    throw error
  }
}

async function start(options: ServeOptions, onProgress: (text: string) => void, undo: Undo): Promise<Serving> {
  const { dataDir, node } = options
  const instance = instanceOf(dataDir)
  const resumed = hasEarlierRun(instance)
  const log = openLog(dataDir)
  const shared = options.store.startsWith('etcd=') ? await openShared(options, instance, undo) : undefined
  let cluster: Cluster | undefined
  const tunnels = createTunnels({ log, nodes: () => nodesOf(cluster) })
  undo.push(() => tunnels.close())
  const ports = hostPorts({ instance, log, dial: (host, port) => tunnels.dial(host, port) })
  const { dualStack, asked, loadBalancerPool: pool } = options
  const own = node?.address ?? options.advertiseAddress
  const links = node?.runtime === 'sim' ? [] : linksOf(own === undefined ? hostAddresses() : [own])
  const claim = node !== undefined && node.runtime !== 'sim'
  const plan = networkPlan(instance, { claim, dualStack, asked, links, pool })
  const network = networkOfPlan(plan)
  const addresses = options.advertiseAddress === undefined ? hostAddresses() : [options.advertiseAddress]

  // The socket first: a port that is taken is told before anything else happens.
  let ready: (cluster: Cluster) => void = () => {}
  const clusterReady = new Promise<Cluster>((resolve) => {
    ready = resolve
  })
  if (node !== undefined) await checkIngressPorts(node, log)
  const sockets = socketsOf(options, ports, plan, addresses, tunnels, clusterReady, log)
  const open = opener(sockets)
  const http = await listen(sockets, open)
  undo.push(() => http.close(0))
  const url = localUrl(options.listen, http.port)

  const removeAll = (graceSeconds?: number) => takeAway(options, instance, onProgress, graceSeconds)
  let hostNode: Awaited<ReturnType<typeof startLocalNode>> | undefined
  undo.push(async () => {
    hostNode?.release()
    if (!resumed) await removeAll(0)
  })
  const chosen = openApi(options.api, log)
  undo.push(() => chosen.close())
  const store = shared ?? (await openStore(options))
  if (shared === undefined) undo.push(() => store.close())
  const history = await startHistoryKeeper({
    store,
    clock: ports.clock,
    onError: (error) => log.warn('history could not be compacted', { error: String(error) }),
  })
  undo.push(() => history.stop())
  const advertiseAddress = podsReach(
    http.address,
    options.advertiseAddress,
    node === undefined ? undefined : plan.dnsAddress,
    addresses,
  )
  const started = await startCluster(ports, {
    store,
    settings: {
      serviceCidrs: network.serviceCidrs,
      advertiseAddress,
      port: http.port,
      sharedStore: shared !== undefined,
      ...chosen.settings,
    },
    ...(shared === undefined ? {} : { election: { identity: `${os.hostname()}_${ports.random.uuid()}` } }),
    ...chosen.options,
    clusterCidrs: network.clusterCidrs,
    dnsAddresses: network.dnsAddresses,
    dialer: tunnels,
    ...(options.scheduler === undefined ? {} : { schedulerSettings: options.scheduler }),
    ...(options.loadBalancerPool.length === 0
      ? {}
      : { controllerSettings: { loadBalancerPool: options.loadBalancerPool } }),
  })
  cluster = started
  undo.push(() => started.stop({ pods: 'keep' }))
  ready(started)
  const access = useCertificate({
    clock: ports.clock,
    log,
    make: () => ports.identity.client('admin', { commonName: 'kubernetes-admin', organizations: ['system:masters'] }),
    use(pair) {
      const access = { url, caPem: ports.identity.ca.certificatePem, ...pair }
      writeKubeconfig(kubeconfigPath(dataDir), access, false)
      if (options.kubeconfig !== undefined) writeKubeconfig(options.kubeconfig, access, true)
    },
  })
  undo.push(() => access.cancel())
  onProgress(`the API answers at ${url}`)

  // The runtime waits until the API answers: beside it, on few cores, either would only slow down the other.
  if (node !== undefined)
    hostNode = await startLocalNode(
      node,
      instance,
      shared === undefined ? { ...network, nodeCidrs: both(plan, 'nodeCidr') } : network,
      log,
      () => edgeCertificateOf(ports),
    )
  const forPods =
    isOutOfSight(http) && node !== undefined && node.runtime !== 'sim'
      ? await open(plan.dnsAddress, http.port)
      : undefined
  undo.push(() => forPods?.close(0))
  const kubeletPort = node === undefined ? undefined : await joinOwnNode(started, node, ports, dataDir, hostNode, log)
  const runtime = node?.runtime ?? 'none'
  const role = node === undefined ? 'server' : 'up'
  const nodeName = node?.name ?? ''
  writeRunState(dataDir, { role, url, runtime, store: options.store, nodeName, startedAt: new Date().toISOString() })
  undo.push(() => removeRunState(dataDir))
  // Agents of this machine alone reach a socket on the loopback device; the pods' own one is nothing to them.
  const joinAddress = podsReach(http.address, options.advertiseAddress, undefined, addresses)
  const reachable = localUrl({ host: joinAddress, port: http.port }, http.port)
  const facts = {
    url: reachable,
    caPem: ports.identity.ca.certificatePem,
    network: { ...network, loadBalancerPool: options.loadBalancerPool },
  }
  // Nobody waits for these but agents that join.
  void keepJoinObjects(started.client, facts).catch((error: unknown) =>
    log.error('agents cannot join', { error: String(error) }),
  )

  const stop = async (pods: 'keep' | 'remove') => {
    onProgress(node === undefined ? 'stopping' : pods === 'remove' ? 'stopping pods' : 'stopping; pods keep running')
    await started.stop({ pods })
    history.stop()
    tunnels.close()
    access.cancel()
    await Promise.all([http.close(500), forPods?.close(500), kubeletPort?.close(0)])
    hostNode?.release()
    await store.close()
    chosen.close()
    if (pods === 'remove') await removeAll()
    removeRunState(dataDir)
    await undo[0]?.()
  }
  const isUp = node === undefined ? Promise.resolve() : nodeReady(started.client, node.name)
  const shutdown = async () => {
    await Promise.all([...started.nodes.values()].map(({ kubelet }) => kubelet.shutdown()))
  }
  return { url, nodeName: node?.name, ready: isUp, resumed, stop, shutdown }
}

const networkOfPlan = (plan: NetworkPlan): ClusterNetwork => ({
  clusterCidrs: both(plan, 'clusterCidr'),
  serviceCidrs: both(plan, 'serviceCidr'),
  dnsAddresses: both(plan, 'dnsAddress'),
})
/** IPv4 first: it is the primary family. */
const both = (plan: NetworkPlan, key: keyof NetworkPlan6): readonly string[] =>
  plan.six === undefined ? [plan[key]] : [plan[key], plan.six[key]]
/** What tunnels need to know of the nodes; nothing before the cluster is there. */
function nodesOf(cluster: Cluster | undefined) {
  if (cluster === undefined) return []
  return [...cluster.informers.informer(nodes).list()].flatMap((node) => networkNodeOf(node) ?? [])
}

function socketsOf(
  options: ServeOptions,
  ports: HostClusterPorts,
  plan: NetworkPlan,
  addresses: readonly string[],
  tunnels: Tunnels,
  cluster: Promise<Cluster>,
  log: Log,
): ListenOptions {
  const ownName = options.node === undefined ? [] : [options.node.name]
  return {
    dataDir: options.dataDir,
    listen: options.listen,
    identity: ports.identity,
    frontProxyCa: options.api.frontProxies?.caPem,
    clock: ports.clock,
    names: [plan.apiAddress, plan.dnsAddress, ...addresses, ...ownName],
    handle: async (request) => (await cluster).api.handle(request),
    tunnel(nodeName, connection) {
      // A call to a pod finds its node in this cache.
      void cluster.then(({ informers }) => {
        informers.informer(nodes)
        tunnels.accept(nodeName, connection)
      })
    },
    log,
  }
}
const edgeCertificateOf = ({ identity }: HostClusterPorts) =>
  identity.serving('ingress', { dnsNames: ['ingress.cluster.local', '*.ingress.cluster.local'], ipAddresses: [] })

/** Adds this machine's node to the cluster and serves its API on the kubelet's port. */
async function joinOwnNode(
  cluster: Cluster,
  node: NodeSettings,
  ports: HostClusterPorts,
  dataDir: string,
  hostNode: Awaited<ReturnType<typeof startLocalNode>> | undefined,
  log: Log,
): Promise<HttpServer | undefined> {
  if (hostNode === undefined) return undefined
  let found: (api: NodeApi) => void = () => {}
  const api = new Promise<NodeApi>((resolve) => {
    found = resolve
  })
  const addresses = node.address === undefined ? hostAddresses() : [node.address]
  const user = { name: `system:node:${node.name}`, groups: ['system:nodes', 'system:authenticated'] }
  const { clock } = ports
  const make = () => ports.identity.node('kubelet', node.name, { dnsNames: [node.name], ipAddresses: addresses })
  const port =
    node.runtime === 'sim'
      ? undefined
      : renewing(
          await serveKubeletPort({
            api,
            nodeName: node.name,
            client: createClient(cluster.api.transport(user), { userAgent: 'kubelet' }),
            clock,
            log,
            credentials: make(),
            clientCa: ports.identity.ca.certificatePem,
            port: 10250,
          }),
          { clock, log, make },
        )
  const { kubelet } = await cluster.addNode({
    name: node.name,
    ports: hostNode.ports,
    ingress: node.ingress,
    config: kubeletConfigOf(node, dataDir, port?.port ?? 0),
  })
  found(kubelet.api)
  return port
}

function takeAway(
  { node }: ServeOptions,
  instance: Instance,
  onProgress: (text: string) => void,
  graceSeconds: number | undefined,
): Promise<void> {
  if (node === undefined || node.runtime === 'sim') return Promise.resolve()
  const sharedRuntime = sharedRuntimeOf(node)
  return removeNode({ instance, onProgress, sharedRuntime, ...(graceSeconds === undefined ? {} : { graceSeconds }) })
}

/** The store of several servers: who the cluster is stands in it. */
async function openShared(options: ServeOptions, instance: Instance, undo: Undo): Promise<Store> {
  const { dataDir, serverToken, dualStack, asked, store: choice } = options
  const store = await openStore(options)
  undo.push(() => store.close())
  const place = choice.slice('etcd='.length)
  await (await import('./shared-identity.ts')).shareIdentity({
    store,
    instance,
    dataDir,
    secret: serverToken,
    dualStack,
    asked,
    place,
  })
  return store
}

async function openStore({ dataDir, store }: ServeOptions): Promise<Store> {
  const clock = systemClock
  if (store === 'memory') return (await import('../store/memory.ts')).openMemoryStore({ clock })
  if (store.startsWith('etcd='))
    return (await import('../store/etcd.ts')).openEtcdStore({
      endpoints: store.slice('etcd='.length).split(','),
      clock,
    })
  return (await import('../store/lmdb.ts')).openLmdbStore({ directory: join(dataDir, 'store'), clock })
}
