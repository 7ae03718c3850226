// A whole cluster in this process, on this machine: what `cox up` runs. The API comes first, the node joins when its
// container runtime is there; whatever fails on the way takes away what was begun.
import { mkdirSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import os from 'node:os'
import { pino } from 'pino'
import type { Node } from '../api/core/node.ts'
import { nodes } from '../api/core/node.ts'
import { type Cluster, type NodeOptions, startCluster } from '../cluster.ts'
import { removeNode } from '../host/cleanup.ts'
import { createHttpEdge } from '../host/http-edge.ts'
import { limitLog } from '../host/log-limit.ts'
import { type HttpServer, serveHttp } from '../host/http-server.ts'
import { type Instance, instanceOf } from '../host/instance.ts'
import { type NetworkPlan, networkPlan } from '../host/network-plan.ts'
import { hostAddresses } from '../host/node-host.ts'
import { type HostClusterPorts, type HostNode, hostPorts, startHostNode } from '../host/ports.ts'
import { pinoLog } from '../host/system.ts'
import { PortTakenError } from '../ports/http-edge.ts'
import type { Log } from '../ports/log.ts'
import type { NodePorts } from '../ports/ports.ts'
import { startHistoryKeeper } from '../store/history.ts'
import type { Store } from '../store/store.ts'
import { CliError } from './command.ts'
import { kubeconfigPath, logPath, removeRunState, writeRunState } from './data-dir.ts'
import { lockDataDir } from './data-lock.ts'
import { writeKubeconfig } from './kubeconfig-file.ts'

export type RuntimeChoice = 'containerd' | 'sim' | `unix://${string}`
export type StoreChoice = 'lmdb' | 'memory' | `etcd=${string}`
export interface ServeOptions {
  readonly dataDir: string
  /** Undefined: every address, 6443 or a free port. */
  readonly listen: { readonly host: string; readonly port: number } | undefined
  readonly runtime: RuntimeChoice
  readonly store: StoreChoice
  /** Ports of the ingress; undefined for 80 and 443, or free ones. */
  readonly ingress?: NonNullable<NodeOptions['ingress']>
  /** A file of the user's to merge our context into. */
  readonly kubeconfig: string | undefined
  readonly onProgress: (text: string) => void
}
export interface Serving {
  readonly url: string
  readonly nodeName: string
  /** Resolves when the node is Ready. */
  readonly nodeReady: Promise<void>
  /** 'remove' takes everything away that is on the machine; 'keep' leaves the pods running. */
  stop(pods: 'keep' | 'remove'): Promise<void>
}

const preferredPort = 6443
const nodeReadyMs = 120_000

/** Starts a cluster; rejects with CliError or StoreOpenError, and then nothing of it is left. */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { dataDir, onProgress } = options
  const undo: (() => unknown)[] = [lockDataDir(dataDir)]
  try {
    return await start(options, undo)
  } catch (error) {
    if (undo.length > 1) onProgress('taking away what was begun')
    for (const step of undo.toReversed()) await step()
    throw error
  }
}

async function start(options: ServeOptions, undo: (() => unknown)[]): Promise<Serving> {
  const { dataDir, runtime, onProgress } = options
  const instance = instanceOf(dataDir)
  const log = openLog(dataDir)
  const ports = hostPorts({ instance, log })
  const plan = networkPlan(instance, runtime !== 'sim')
  const nodeName = os.hostname().toLowerCase()
  const addresses = hostAddresses()

  // The socket first: a port that is taken is told before anything else happens.
  let ready: (cluster: Cluster) => void = () => {}
  const clusterReady = new Promise<Cluster>((resolve) => {
    ready = resolve
  })
  await checkIngressPorts(options, log)
  const open = opener(options, ports, plan, nodeName, addresses, log, clusterReady)
  const http = await listen(options, open)
  undo.push(() => http.close(0))
  const url = `https://${urlHost(options.listen?.host ?? '127.0.0.1')}:${http.port}`

  // The runtime takes longest: it starts while the store is read.
  const starting = runtime === 'sim' ? simNodePorts(ports, nodeName) : realNode(options, instance, ports, plan)
  starting.catch(() => undefined)
  undo.push(async () => {
    const node = await starting.catch(() => undefined)
    node?.release()
    if (runtime !== 'sim') await removeNode({ instance, onProgress, graceSeconds: 0, sharedRuntime: sharedOf(runtime) })
  })
  const store = await openStore(options, ports)
  undo.push(() => store.close())
  const history = await startHistoryKeeper({
    store,
    clock: ports.clock,
    onError: (error) => log.warn('history could not be compacted', { error: String(error) }),
  })
  undo.push(() => history.stop())
  const cluster = await startCluster(ports, {
    store,
    settings: {
      serviceCidrs: [plan.serviceCidr],
      advertiseAddress: podsReach(http.address, plan, addresses),
      port: http.port,
    },
    clusterCidrs: [plan.clusterCidr],
    dnsAddresses: [plan.dnsAddress],
  })
  undo.push(() => cluster.stop({ pods: 'keep' }))
  ready(cluster)
  const access = accessOf(ports, url)
  writeKubeconfig(kubeconfigPath(dataDir), access, false)
  if (options.kubeconfig !== undefined) writeKubeconfig(options.kubeconfig, access, true)
  onProgress(`the API answers at ${url}`)

  const hostNode = await starting
  const forPods = isLoopback(http.address) && runtime !== 'sim' ? await open(plan.dnsAddress, http.port) : undefined
  if (forPods !== undefined) undo.push(() => forPods.close(0))
  await cluster.addNode({
    name: nodeName,
    ports: hostNode.ports,
    ...(options.ingress === undefined ? {} : { ingress: options.ingress }),
    ...(runtime === 'sim' ? {} : { config: kubeletFolders(dataDir) }),
  })
  writeRunState(dataDir, { url, runtime, store: options.store, nodeName, startedAt: new Date().toISOString() })
  undo.push(() => removeRunState(dataDir))

  const stop = async (pods: 'keep' | 'remove') => {
    onProgress(pods === 'remove' ? 'stopping pods' : 'stopping; pods keep running')
    await cluster.stop({ pods })
    history.stop()
    await Promise.all([http.close(500), forPods?.close(500)])
    hostNode.release()
    await store.close()
    if (pods === 'remove' && runtime !== 'sim')
      await removeNode({ instance, onProgress, sharedRuntime: sharedOf(runtime) })
    removeRunState(dataDir)
    await undo[0]?.()
  }
  return { url, nodeName, nodeReady: nodeReady(cluster, nodeName), stop }
}

/** The address of a runtime that is not ours. */
const sharedOf = (runtime: string): string | undefined => (runtime.startsWith('unix://') ? runtime : undefined)

function openLog(dataDir: string): Log {
  const path = logPath(dataDir)
  limitLog(path)
  const destination = pino.destination({ dest: path, sync: true, append: true })
  return pinoLog(pino({ level: process.env['COX_LOG_LEVEL'] ?? 'info', base: null }, destination))
}
const urlHost = (host: string) => {
  const reachable = host === '0.0.0.0' || host === '::' || host === '' ? '127.0.0.1' : host
  return reachable.includes(':') ? `[${reachable}]` : reachable
}

const isLoopback = (address: string) => address.startsWith('127.') || address === '::1'
/** Where pods find the API: a socket on the loopback device alone is out of their sight, so they get one on the device that
 * carries the cluster's DNS, which no other machine has a route to. */
function podsReach(listening: string, { dnsAddress }: NetworkPlan, addresses: readonly string[]): string {
  if (isLoopback(listening)) return dnsAddress
  return /^(0\.0\.0\.0|::)$/.test(listening) ? (addresses[0] ?? dnsAddress) : listening
}

type Open = (host: string, port: number) => Promise<HttpServer>

/** Opens sockets of the API; requests wait for the cluster. */
function opener(
  options: ServeOptions,
  ports: HostClusterPorts,
  plan: NetworkPlan,
  nodeName: string,
  addresses: readonly string[],
  log: Log,
  cluster: Promise<Cluster>,
): Open {
  const kube = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local']
  const given = options.listen?.host
  const own = given === undefined || /^(0\.0\.0\.0|::)?$/.test(given) ? [] : [given]
  const isAddress = (name: string) => /^[\d.]+$|:/.test(name)
  const reached = ['127.0.0.1', '::1', plan.apiAddress, plan.dnsAddress, ...addresses, ...own.filter(isAddress)]
  const { certificatePem, keyPem } = ports.identity.serving('apiserver', {
    dnsNames: ['localhost', ...kube, nodeName, ...own.filter((name) => !isAddress(name))],
    ipAddresses: [...new Set(reached)],
  })
  return (host, port) =>
    serveHttp({
      host,
      port,
      certificatePem,
      keyPem,
      clientCa: ports.identity.ca.certificatePem,
      handle: async (request) => (await cluster).api.handle(request),
      log,
    })
}

/** The API's own socket, at the address and port that were asked for, or at the port of the last start. */
async function listen({ listen: at, dataDir }: ServeOptions, open: Open): Promise<HttpServer> {
  if (at !== undefined) return open(at.host, at.port).catch((error: unknown) => refuse(error, at))
  const everywhere = '0.0.0.0'
  const kept = join(dataDir, 'port')
  const last = existsSync(kept) ? Number(readFileSync(kept, 'utf8')) : preferredPort
  const server = await open(everywhere, last).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') return refuse(error, undefined)
    return open(everywhere, 0)
  })
  writeFileSync(kept, `${server.port}\n`)
  return server
}
function refuse(error: unknown, at: ServeOptions['listen']): never {
  const { code } = error as NodeJS.ErrnoException
  const where = at === undefined ? 'the API port' : `${at.host}:${at.port}`
  if (code === 'EADDRINUSE')
    throw new CliError(`${where} is taken by another program: end it, or choose another with --listen HOST:PORT`)
  if (code === 'EACCES')
    throw new CliError(`${where} may not be used by this user: choose a port above 1023 with --listen`)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    throw new CliError(`${where} is not an address of this machine: choose one with --listen HOST:PORT`)
  throw error
}

/** A port that was asked for and is taken is told now, not when the first Ingress comes. */
async function checkIngressPorts({ ingress = {} }: ServeOptions, log: Log): Promise<void> {
  for (const [flag, port] of [
    ['--ingress-http-port', ingress.httpPort],
    ['--ingress-https-port', ingress.httpsPort],
  ] as const) {
    if (port === undefined) continue
    try {
      const probe = await createHttpEdge({ log }).listen({ port, handle: () => Promise.reject(new Error('not ready')) })
      await probe.close()
    } catch (error) {
      if (!(error instanceof PortTakenError)) throw error
      throw new CliError(`${flag} ${port} is taken by another program: end it, or choose another port`)
    }
  }
}

async function openStore({ dataDir, store }: ServeOptions, { clock }: HostClusterPorts): Promise<Store> {
  if (store === 'memory') return (await import('../store/memory.ts')).openMemoryStore({ clock })
  if (store.startsWith('etcd='))
    return (await import('../store/etcd.ts')).openEtcdStore({
      endpoints: store.slice('etcd='.length).split(','),
      clock,
    })
  return (await import('../store/lmdb.ts')).openLmdbStore({ directory: join(dataDir, 'store'), clock })
}

async function realNode(
  options: ServeOptions,
  instance: Instance,
  { log, identity }: HostClusterPorts,
  plan: NetworkPlan,
): Promise<HostNode> {
  if (options.runtime === 'sim') throw new Error('a simulated node has no runtime')
  const edgeCertificate = () =>
    identity.serving('ingress', { dnsNames: ['ingress.cluster.local', '*.ingress.cluster.local'], ipAddresses: [] })
  return startHostNode({ instance, log, plan, runtime: options.runtime, edgeCertificate })
}
/** Containers that exist in words only: everything but their processes is real. */
async function simNodePorts(ports: HostClusterPorts, name: string): Promise<{ ports: NodePorts; release(): void }> {
  const [{ SimWorld }, { seededRandom }, { simNode }] = await Promise.all([
    import('../sim/world.ts'),
    import('../sim/seeded-random.ts'),
    import('../sim/sim-node.ts'),
  ])
  const world = new SimWorld({ clock: ports.clock, random: seededRandom(ports.random.uuid()) })
  return { ports: await simNode(world, name), release: () => {} }
}

function kubeletFolders(dataDir: string) {
  const staticPodPath = join(dataDir, 'manifests')
  mkdirSync(staticPodPath, { recursive: true })
  // A stub resolver on the loopback device is of no use inside a pod: its upstream servers stand in another file.
  const resolved = '/run/systemd/resolve/resolv.conf'
  const stub = /^nameserver 127\./m.test(existsSync('/etc/resolv.conf') ? readFileSync('/etc/resolv.conf', 'utf8') : '')
  return {
    rootDirectory: join(dataDir, 'kubelet'),
    volumesDirectory: join(dataDir, 'volumes'),
    podLogsDirectory: join(dataDir, 'logs', 'pods'),
    resolvConf: stub && existsSync(resolved) ? resolved : '/etc/resolv.conf',
    staticPodPath,
  }
}

const accessOf = (ports: HostClusterPorts, url: string) => ({
  url,
  caPem: ports.identity.ca.certificatePem,
  ...ports.identity.client('admin', { commonName: 'kubernetes-admin', organizations: ['system:masters'] }),
})

const isReady = (node: Node) =>
  node.status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') === true
/** Resolves when the node says Ready; rejects with what it says instead after two minutes. */
async function nodeReady(cluster: Cluster, name: string): Promise<void> {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), nodeReadyMs)
  let last: Node | undefined
  try {
    const query = { fieldSelector: `metadata.name=${name}`, sendInitialEvents: true, signal: stop.signal } as const
    for await (const event of cluster.client
      .resource(nodes)
      .watch({ ...query, allowWatchBookmarks: true, resourceVersionMatch: 'NotOlderThan' })) {
      if (event.type === 'BOOKMARK') continue
      last = event.object
      if (isReady(event.object)) return
    }
  } finally {
    clearTimeout(timer)
    stop.abort()
  }
  const why = last?.status?.conditions?.find((condition) => condition.type === 'Ready')?.message
  throw new CliError(`the node does not become Ready: ${why ?? 'it did not register'}; see the log`)
}
