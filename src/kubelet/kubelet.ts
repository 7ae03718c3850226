// The node agent: runs the pods that the API binds to this node. It is pure over its ports; what it must know after a
// restart it reads from the runtime and the API, so running containers are simply taken over.
import { type Node, nodes } from '../api/core/node.ts'
import { persistentVolumeClaims } from '../api/core/persistent-volume-claim.ts'
import { persistentVolumes } from '../api/core/persistent-volume.ts'
import { pods } from '../api/core/pod.ts'
import { type Service, services } from '../api/core/service.ts'
import { runtimeClasses } from '../api/node/runtime-class.ts'
import type { Client } from '../client/client.ts'
import { createEventRecorder } from '../client/event-recorder.ts'
import type { InformerFactory } from '../client/informer.ts'
import { type Clock, every, type Timer } from '../ports/clock.ts'
import type { ContainerRuntime } from '../ports/container-runtime.ts'
import type { DevicePlugins } from '../ports/device-plugins.ts'
import type { Disk } from '../ports/disk.ts'
import type { Log } from '../ports/log.ts'
import type { NodeApi } from '../ports/node-api.ts'
import type { NodePlugins } from '../ports/node-plugins.ts'
import type { NodeHost } from '../ports/node-host.ts'
import type { PodResourcesSockets } from '../ports/pod-resources.ts'
import type { Programs } from '../ports/programs.ts'
import type { Prober } from '../ports/prober.ts'
import type { Random } from '../ports/random.ts'
import { BackOff } from './back-off.ts'
import { defaultKubeletConfig, type KubeletConfig } from './config.ts'
import type { KubeletContext } from './context.ts'
import { Cpus, reservedCpus } from './cpus.ts'
import { CredentialProviders } from './credential-providers.ts'
import { DeviceClaims } from './device-claims.ts'
import { Devices } from './devices.ts'
import { parseResolvConf } from './dns-config.ts'
import type { ServiceFacts } from './env.ts'
import { EvictionLoop } from './eviction-loop.ts'
import { ImageCollector } from './image-gc.ts'
import { Images } from './images.ts'
import { kubeletRequest } from './http.ts'
import { startLogRotation } from './log-rotation.ts'
import { machineProblems } from './machine-problems.ts'
import { NodeAgent } from './node-agent.ts'
import { endForShutdown } from './node-shutdown.ts'
import { createNodeApi } from './node-api.ts'
import { NumaMemory } from './numa-memory.ts'
import { ObjectCache } from './object-cache.ts'
import { PodSet } from './pod-set.ts'
import { podResourcesOf } from './pod-resources.ts'
import { Probes } from './probes.ts'
import { PulledImages } from './pulled-images.ts'
import { prepareNode, unprepareNode } from './prepare-node.ts'
import { RuntimeView } from './runtime-view.ts'
import { type Following, followStaticPods } from './static-pods.ts'
import { Stats } from './stats.ts'
import { StatusWriter } from './status-writer.ts'
import { Tokens } from './tokens.ts'
import { Topology } from './topology.ts'
import { fieldPathOf, type RecordPodEvent } from './types.ts'

export interface KubeletOptions {
  readonly client: Client
  readonly informers: InformerFactory
  readonly runtime: ContainerRuntime
  readonly disk: Disk
  readonly host: NodeHost
  readonly prober: Prober
  /** Undefined: no device plugins. */
  readonly devicePlugins?: DevicePlugins
  /** Undefined: no drivers of devices. */
  readonly nodePlugins?: NodePlugins
  /** Undefined: no pod resources API. */
  readonly podResources?: PodResourcesSockets
  /** Undefined: no credential providers. */
  readonly programs?: Programs
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly nodeName: string
  readonly config?: Partial<KubeletConfig>
}
export interface StopOptions {
  /** 'keep' leaves the containers running for a later kubelet; 'remove' ends all pods on the node (they stay in the API)
   * and takes away what the kubelet made on the host. */
  readonly pods: 'keep' | 'remove'
  /** With 'remove': how long containers may take. */
  readonly graceSeconds?: number
}
export interface Kubelet {
  readonly api: NodeApi
  /** Resolves when the view of the runtime and the API's pods are complete and every pod has been looked at once. */
  readonly synced: Promise<void>
  /** The machine is about to go down: ends the pods in order, within the times of the configuration. */
  shutdown(): Promise<void>
  stop(options?: StopOptions): Promise<void>
}

const factsOf = (service: Service): ServiceFacts => ({
  name: service.metadata.name,
  namespace: service.metadata.namespace ?? '',
  clusterIP: service.spec.clusterIP ?? '',
  ports: (service.spec.ports ?? []).map(({ name, port, protocol }) => ({ name: name ?? '', port, protocol })),
})

/** Makes the parts and ties them together; they know each other only through the context. */
async function makeContext(
  options: KubeletOptions,
  podSet: () => PodSet | undefined,
  nodeChanged: () => void,
): Promise<KubeletContext> {
  const { client, informers, runtime, disk, host, prober, clock, random, log, nodeName } = options
  const config: KubeletConfig = { ...defaultKubeletConfig, ...options.config }
  const [machine, version, runtimeFeatures] = await Promise.all([host.facts(), runtime.version(), runtime.features()])
  const problems = machineProblems(config, machine)
  if (problems.length > 0) throw new Error(problems.join('; '))
  const text = async (path: string) => new TextDecoder().decode((await disk.readFile(path)) ?? new Uint8Array())
  const [resolvConf, nodeHostsFile] = await Promise.all([text(config.resolvConf), text('/etc/hosts')])
  const recorder = createEventRecorder({ client, clock, log, component: 'kubelet', host: nodeName })
  const record: RecordPodEvent = (pod, container, type, reason, message) => {
    const { name, namespace, uid, resourceVersion } = pod.metadata
    const fieldPath = container === undefined ? {} : { fieldPath: fieldPathOf(pod.spec, container) }
    const where = namespace === undefined ? {} : { namespace }
    recorder.event(
      { apiVersion: 'v1', kind: 'Pod', name, uid, resourceVersion, ...where, ...fieldPath },
      type,
      reason,
      message,
    )
  }
  const wake = (uid: string) => podSet()?.worker(uid)?.wake()
  const refresh = (uid: string) => podSet()?.worker(uid)?.refresh()
  const serviceInformer = informers.informer(services)
  const userAgent = `kube-probe/${/\d+\.\d+/.exec(config.version)?.[0] ?? ''}`
  const probes = new Probes({
    runtime,
    prober,
    clock,
    record,
    userAgent,
    hostIP: () => machine.addresses[0] ?? '',
    onChange: (uid) => {
      podSet()?.worker(uid)?.publish()
      wake(uid)
    },
  })
  const pulledImages = new PulledImages({
    disk,
    clock,
    directory: `${config.rootDirectory}/image_manager`,
    policy: config.imagePullVerification,
    allowlist: config.preloadedImagesAllowlist,
  })
  const view = new RuntimeView(runtime, clock, log, (uid) => podSet()?.runtimeChanged(uid))
  const devices = new Devices({
    plugins: options.devicePlugins,
    disk,
    clock,
    log,
    directory: `${config.rootDirectory}/device-plugins`,
    onChange: nodeChanged,
  })
  const deviceClaims = new DeviceClaims({
    plugins: options.nodePlugins,
    client,
    disk,
    clock,
    log,
    nodeName,
    directory: `${config.rootDirectory}/plugins_registry`,
    file: `${config.rootDirectory}/dra_manager_state`,
    onDriver: () => {
      for (const worker of podSet()?.workers() ?? []) worker.wake()
    },
  })
  const cpus = new Cpus({
    policy: config.cpuManagerPolicy,
    reserved: reservedCpus(config, machine.topology),
    fullPcpusOnly: config.fullPcpusOnly,
    strictCpuReservation: config.strictCpuReservation,
    topology: machine.topology,
    disk,
    runtime,
    view,
    log,
    file: `${config.rootDirectory}/cpu_manager_state`,
  })
  const memory = new NumaMemory({
    memoryManagerPolicy: config.memoryManagerPolicy,
    reservedMemory: config.reservedMemory,
    numaNodes: machine.numaNodes,
    disk,
    log,
    file: `${config.rootDirectory}/memory_manager_state`,
  })
  const context: KubeletContext = {
    client,
    runtime,
    disk,
    host,
    prober,
    clock,
    random,
    log,
    nodeName,
    config,
    record,
    machine,
    nodeHostsFile,
    probes,
    view,
    credentialProviders: new CredentialProviders({
      configFile: config.credentialProviderConfig,
      binDirectory: config.credentialProviderBinDirectory,
      programs: options.programs,
      disk,
      clock,
      log,
    }),
    devices,
    deviceClaims,
    cpus,
    memory,
    topology: new Topology({
      policy: config.topologyManagerPolicy,
      scope: config.topologyManagerScope,
      nodes: [...new Set([...machine.topology.map((c) => c.numaNode), ...machine.numaNodes.map((n) => n.id)])],
      cpus,
      memory,
      devices,
    }),
    images: new Images(runtime, clock, record, {
      parallelPulls: config.serializeImagePulls ? 1 : config.maxParallelImagePulls,
      pulled: pulledImages,
    }),
    pulledImages,
    writer: new StatusWriter(client, clock, log),
    objects: new ObjectCache({ client, clock, random, log, onChange: refresh }),
    tokens: new Tokens(client, clock, random, refresh),
    claims: {
      claim: (namespace, name) => client.resource(persistentVolumeClaims).find(name, namespace),
      volume: (name) => client.resource(persistentVolumes).find(name),
    },
    backOff: new BackOff(clock, 10_000, config.maxCrashBackOffMs),
    runtimeName: version.name,
    runtimeFeatures,
    runtimeVersion: `${version.name}://${version.version.replace(/^v/, '')}`,
    recorder,
    dns: { clusterDns: config.clusterDns, clusterDomain: config.clusterDomain, node: parseResolvConf(resolvConf) },
    hostIPs: () => machine.addresses,
    allocatable: () => podSet()?.allocatable() ?? {},
    services: async () => {
      await serviceInformer.synced
      return [...serviceInformer.list()].map(factsOf)
    },
    resizePending: (pod) => podSet()?.resizePending(pod),
    portsFreed: (pod) => podSet()?.portsFreed(pod) ?? Promise.resolve(),
    userAgent,
    runtimeHandler: async (name) => (await client.resource(runtimeClasses).find(name))?.handler,
  }
  return context
}

/** How often devices of pods that went while no kubelet ran are given back. */
const orphanedClaimsMs = 60_000
/** Boundary: what a driver does not take back now is tried again the next time. */
async function releaseOrphanedClaims({ deviceClaims, log }: KubeletContext, set: PodSet): Promise<void> {
  for (const uid of deviceClaims.usersBut((user) => set.worker(user) !== undefined))
    await deviceClaims.release(uid).catch((error: unknown) => {
      log.warn('cannot give back the devices of a pod that is gone', { uid, error: String(error) })
    })
}

/** Rejects where the configuration does not fit the machine (machineProblems), or the runtime cannot be asked. */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const { informers, nodeName } = options
  let podSet: PodSet | undefined
  const context = await makeContext(
    options,
    () => podSet,
    () => agent.update(),
  )
  const { recorder, machine, view, log } = context
  const aboutNode = { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: nodeName }
  const recordNode = (type: 'Normal' | 'Warning', reason: string, message: string) =>
    recorder.event(aboutNode, type, reason, message)
  const agent = new NodeAgent(context, {
    recordNode,
    pressure: () => set.pressure(),
    goingDown: () => set.isGoingDown,
    runtimeTrouble: () => (view.listed ? undefined : 'PLEG is not healthy: pleg has yet to be successful'),
  })
  const set = new PodSet(
    context,
    () => agent.node,
    () => agent.allocatable(),
  )
  podSet = set
  const images = new ImageCollector(context, recordNode)
  const eviction = new EvictionLoop(context, set, {
    reclaimDisk: async () => {
      await set.reclaim()
      await images.collectAll()
    },
    recordNode,
    onPressure: () => agent.update(),
  })
  set.pressure = () => eviction.pressure
  await prepareNode(context)
  await Promise.all([
    context.devices.start(),
    context.deviceClaims.start(),
    context.cpus.start(),
    context.memory.start(),
    context.credentialProviders.start(),
  ])
  const resourcesFolder = `${context.config.rootDirectory}/pod-resources`
  if (options.podResources !== undefined) await context.disk.mkdir(resourcesFolder, { mode: 0o750 })
  const resourcesSocket = await options.podResources?.serve(resourcesFolder, podResourcesOf(context, set))
  const nodeInformer = informers.informer(nodes, { fieldSelector: `metadata.name=${nodeName}` })
  const unwatchNode = nodeInformer.handle({
    add: (node: Node) => agent.seen(node),
    update: (node: Node) => agent.seen(node),
    delete: () => agent.gone(),
  })
  const podInformer = informers.informer(pods, { fieldSelector: `spec.nodeName=${nodeName}` })
  const rotation = startLogRotation(context)
  const watching = context.clock.onSet(() => {
    log.warn('the wall clock was set')
    context.tokens.clockWasSet()
    set.clockWasSet()
    agent.update()
  })
  const ooms = context.host.watchSystemOom(({ process, pid }) =>
    recordNode('Warning', 'SystemOOM', `System OOM encountered, victim process: ${process}, pid: ${pid}`),
  )
  images.start()
  eviction.start()
  const listed = view.start()
  agent.start()
  // Containers must be known before pods are looked at, or running ones would be started twice.
  let unwatchPods = () => {}
  let following: Following | undefined
  let orphans: Timer | undefined
  const synced = Promise.all([listed, podInformer.synced]).then(() => {
    agent.update()
    unwatchPods = podInformer.handle({
      add: (pod) => set.apply(pod),
      update: (pod) => set.apply(pod),
      delete: (pod) => set.remove(pod),
    })
    set.considerResizes()
    following = followStaticPods(context, set)
    void following.ready.then(() => set.sourcesRead())
    orphans = every(context.clock, orphanedClaimsMs, () => releaseOrphanedClaims(context, set))
    log.info('kubelet runs', { node: nodeName, runtime: context.runtimeVersion, cpus: machine.cpuCount })
  })
  const stats = new Stats(context, set)
  const api = createNodeApi({
    context,
    findPod: (namespace, name) => set.find(namespace, name),
    onPodChange: (uid, changed) => set.onChange(uid, changed),
    request: (request) => kubeletRequest({ context, pods: set, stats }, request),
  })
  return {
    api,
    synced,
    async shutdown() {
      set.isGoingDown = true
      agent.update()
      log.info('the machine is about to go down: pods end')
      await endForShutdown([...set.workers()], context.config, context.clock)
    },
    async stop(stopOptions = { pods: 'keep' }) {
      unwatchNode()
      unwatchPods()
      following?.stop()
      orphans?.cancel()
      watching.cancel()
      agent.stop()
      rotation.cancel()
      ooms.close()
      images.stop()
      eviction.stop()
      if (stopOptions.pods === 'remove') await set.removeAll(stopOptions.graceSeconds ?? 2)
      set.stop()
      context.probes.stop()
      view.stop()
      context.objects.stop()
      context.tokens.stop()
      context.deviceClaims.stop()
      await Promise.all([context.devices.stop(), resourcesSocket?.close()])
      context.writer.stop()
      recorder.stop()
      if (stopOptions.pods === 'remove') await unprepareNode(context)
    },
  }
}
