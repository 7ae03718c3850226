// The whole cluster as a value: store, API server, controllers, scheduler and nodes, wired through direct transports.
// Nothing here knows whether its ports are a machine or a simulation.
import { ApiError } from './api/machinery/errors.ts'
import type { Kind } from './api/machinery/kind.ts'
import { servedKinds } from './api/runtime-config.ts'
import type { ApiServer, ApiServerOptions } from './apiserver/server.ts'
import type { Component } from './apiserver/context.ts'
import { createApiServer } from './apiserver/server.ts'
import { createClient } from './client/api-client.ts'
import type { Client } from './client/client.ts'
import { createInformerFactory, type InformerFactory } from './client/informer.ts'
import type { LeaderElectionOptions } from './client/leader-election.ts'
import { whileLeading } from './client/while-leading.ts'
import { allControllers } from './controllers/all.ts'
import {
  type Controller,
  type ControllerSettings,
  controllersFor,
  type RunningController,
  startControllers,
} from './controllers/framework/controller.ts'
import type { IngressSettings } from './ingress/ingress.ts'
import type { KubeletConfig } from './kubelet/config.ts'
import type { StopOptions } from './kubelet/kubelet.ts'
import { type ClusterNode, startNode } from './node.ts'
import type { NodeApi, NodeDialer } from './ports/node-api.ts'
import type { ClusterPorts, NodePorts } from './ports/ports.ts'
import type { Transport } from './ports/transport.ts'
import { type Scheduler, startScheduler } from './scheduler/scheduler.ts'
import type { SchedulerSettings } from './scheduler-configuration.ts'
import { openMemoryStore } from './store/memory.ts'
import type { Store } from './store/store.ts'

export interface ClusterOptions {
  /** Default: in memory, gone with the cluster. A given store stays open after `stop`. */
  readonly store?: Store
  /** Default: every built-in kind. */
  readonly kinds?: readonly Kind[]
  readonly settings?: ApiServerOptions['settings']
  readonly tokens?: ApiServerOptions['tokens']
  readonly audit?: ApiServerOptions['audit']
  readonly encryption?: ApiServerOptions['encryption']
  /** Default: all. An empty list is a bare API server. */
  readonly controllers?: readonly Controller[]
  readonly controllerSettings?: ControllerSettings
  /** Default: true. */
  readonly scheduler?: boolean
  /** Profiles and plugins of the scheduler. Default: one profile with the default plugins. */
  readonly schedulerSettings?: Partial<SchedulerSettings>
  /** Address ranges of pods in the whole cluster, one an IP family. */
  readonly clusterCidrs?: readonly string[]
  /** Addresses of the cluster's DNS, inside the service range. */
  readonly dnsAddresses?: readonly string[]
  /** Default: cluster.local. */
  readonly domain?: string
  /** Several servers on one store: controllers and scheduler run in one of them. Default: in this one, at once. */
  readonly election?: Pick<LeaderElectionOptions, 'identity' | 'leaseDurationMs' | 'renewDeadlineMs' | 'retryPeriodMs'>
  /** Nodes that are not in this process. */
  readonly dialer?: NodeDialer
}
export interface NodeOptions {
  readonly name: string
  readonly ports: NodePorts
  readonly config?: Partial<KubeletConfig>
  /** Ports of the node's ingress. */
  readonly ingress?: IngressSettings
  /** Wraps the agent's way to the API (a simulation cuts it). */
  readonly transport?: (inner: Transport) => Transport
}
export interface Cluster {
  readonly api: ApiServer
  readonly ports: ClusterPorts
  /** As system:masters. */
  readonly client: Client
  readonly informers: InformerFactory
  readonly nodes: ReadonlyMap<string, ClusterNode>
  addNode(options: NodeOptions): Promise<ClusterNode>
  /** Stops nodes, scheduler, controllers and API server, in this order. A store that was given stays open: it is the caller's. */
  stop(options?: StopOptions): Promise<void>
}

/** Reaches the nodes of this process directly, and others through `beyond`. */
function localDialer(nodes: ReadonlyMap<string, ClusterNode>, beyond: NodeDialer | undefined): NodeDialer {
  return {
    async connect(nodeName): Promise<NodeApi> {
      const node = nodes.get(nodeName)
      if (node !== undefined) return node.kubelet.api
      if (beyond !== undefined) return beyond.connect(nodeName)
      throw new ApiError('ServiceUnavailable', `no connection to node "${nodeName}"`)
    },
  }
}

/** Starts the control plane; nodes are added afterwards. Rejects when the store's content cannot be served. */
export async function startCluster(ports: ClusterPorts, options: ClusterOptions = {}): Promise<Cluster> {
  const { clock, random, log } = ports
  const store = options.store ?? openMemoryStore({ clock })
  const nodes = new Map<string, ClusterNode>()
  let scheduler: Scheduler | undefined
  const kinds = options.kinds ?? servedKinds()
  const controllers = controllersFor(kinds, options.controllers ?? allControllers)
  const components = new Set<Component>([
    ...(options.scheduler === false ? [] : (['scheduler'] as const)),
    ...(controllers.length === 0 ? [] : (['controller-manager'] as const)),
  ])
  const api = await createApiServer({
    store,
    kinds,
    clock,
    random,
    log,
    identity: ports.identity,
    nodes: localDialer(nodes, options.dialer),
    advice: () => scheduler,
    components,
    ...(ports.defer === undefined ? {} : { defer: ports.defer }),
    ...(ports.outgoing === undefined ? {} : { outgoing: ports.outgoing }),
    ...(options.settings === undefined ? {} : { settings: options.settings }),
    ...(options.tokens === undefined ? {} : { tokens: options.tokens }),
    ...(options.audit === undefined ? {} : { audit: options.audit }),
    ...(options.encryption === undefined ? {} : { encryption: options.encryption }),
  })
  const clientFor = (name: string, groups: readonly string[], userAgent: string) =>
    createClient(api.transport({ name, groups: [...groups, 'system:authenticated'] }), { userAgent })
  const informersFor = (client: Client) => createInformerFactory({ client, clock, random, log, bookmarks: false })
  const running: RunningController[] = []
  /** Runs at once, or while this process is the one of several that may. */
  const run = (name: string, component: Client, start: () => RunningController) => {
    const { election } = options
    running.push(
      election === undefined
        ? start()
        : whileLeading({ client: component, clock, random, log, namespace: 'kube-system', name, ...election, start }),
    )
  }

  const managerClient = clientFor('system:kube-controller-manager', [], 'kube-controller-manager')
  const managerInformers = informersFor(managerClient)
  const controllerSettings: ControllerSettings = {
    ca: ports.identity.ca,
    tokens: ports.identity.tokens,
    ...(options.clusterCidrs === undefined ? {} : { clusterCidrs: options.clusterCidrs }),
    ...(options.dnsAddresses === undefined ? {} : { clusterDnsAddresses: options.dnsAddresses }),
    ...(options.settings?.port === undefined ? {} : { reservedPorts: [options.settings.port] }),
    ...options.controllerSettings,
  }
  if (controllers.length > 0)
    run('kube-controller-manager', managerClient, () =>
      startControllers(controllers, {
        client: managerClient,
        informers: managerInformers,
        clock,
        random,
        log,
        settings: controllerSettings,
      }),
    )
  if (options.scheduler !== false) {
    const client = clientFor('system:kube-scheduler', [], 'kube-scheduler')
    run('kube-scheduler', client, () => {
      const started = startScheduler({
        client,
        informers: managerInformers,
        clock,
        random,
        log: log.child({ component: 'scheduler' }),
        ...(ports.outgoing === undefined ? {} : { outgoing: ports.outgoing }),
        ...options.schedulerSettings,
      })
      scheduler = started
      return {
        async stop() {
          scheduler = undefined
          await started.stop()
        },
      }
    })
  }

  async function addNode(node: NodeOptions): Promise<ClusterNode> {
    const { name, ports: nodePorts, config, ingress } = node
    const as = (user: string, groups: readonly string[]) => {
      const direct = api.transport({ name: user, groups: [...groups, 'system:authenticated'] })
      return node.transport === undefined ? direct : node.transport(direct)
    }
    const started = await startNode({
      name,
      ports: nodePorts,
      clock,
      random,
      log,
      network: {
        clusterCidrs: options.clusterCidrs ?? [],
        serviceCidrs: options.settings?.serviceCidrs ?? [],
        dnsAddresses: options.dnsAddresses ?? [],
        loadBalancerPool: controllerSettings.loadBalancerPool ?? [],
        ...(options.domain === undefined ? {} : { domain: options.domain }),
      },
      kubeletTransport: as(`system:node:${name}`, ['system:nodes']),
      networkTransport: as('system:kube-proxy', ['system:node-proxier']),
      ...(config === undefined ? {} : { config }),
      ...(ingress === undefined ? {} : { ingress }),
    })
    const own: ClusterNode = {
      ...started,
      async stop(stopOptions) {
        nodes.delete(name)
        await started.stop(stopOptions)
      },
    }
    nodes.set(name, own)
    return own
  }

  const client = clientFor('system:admin', ['system:masters'], 'coxswain')
  const informers = informersFor(client)
  return {
    api,
    ports,
    client,
    informers,
    nodes,
    addNode,
    async stop(stopOptions) {
      api.drain()
      await Promise.all([...nodes.values()].map((node) => node.stop(stopOptions)))
      await Promise.all(running.map((part) => part.stop()))
      managerInformers.stop()
      informers.stop()
      await api.close()
      if (options.store === undefined) await store.close()
    },
  }
}
