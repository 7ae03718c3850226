// One node's agent: kubelet, service proxy, DNS and routes to the other nodes' pods, over whatever transport leads to the
// API: a function call where the control plane is in this process, HTTP/2 where it is another machine's.
import { parseIpRange } from './api/machinery/ip-range.ts'
import { createClient } from './client/api-client.ts'
import { createEventRecorder } from './client/event-recorder.ts'
import { createInformerFactory } from './client/informer.ts'
import { type DnsServer, startDns } from './dns/dns.ts'
import type { KubeletConfig } from './kubelet/config.ts'
import { type IngressServer, type IngressSettings, startIngress } from './ingress/ingress.ts'
import { type Kubelet, startKubelet, type StopOptions } from './kubelet/kubelet.ts'
import type { Clock } from './ports/clock.ts'
import type { Log } from './ports/log.ts'
import type { NodePorts } from './ports/ports.ts'
import type { Random } from './ports/random.ts'
import type { Transport } from './ports/transport.ts'
import { type PodRoutes, startPodRoutes } from './proxy/pod-routes.ts'
import { type Proxy, startProxy } from './proxy/proxy.ts'

/** What every node of a cluster must know of its addresses. */
export interface ClusterNetwork {
  /** Address ranges of pods in the whole cluster, one an IP family. */
  readonly clusterCidrs: readonly string[]
  readonly serviceCidrs: readonly string[]
  /** Addresses of the cluster's DNS, inside the service range: every node answers them itself. */
  readonly dnsAddresses: readonly string[]
  /** Ranges of load balancer addresses that nodes answer on their links. Default: none. */
  readonly loadBalancerPool?: readonly string[]
  /** Default: cluster.local. */
  readonly domain?: string
}
export interface NodeAgentOptions {
  readonly name: string
  readonly ports: NodePorts
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly network: ClusterNetwork
  /** As the node itself. */
  readonly kubeletTransport: Transport
  /** Whoever may read services, endpoints and network policies. */
  readonly networkTransport: Transport
  readonly config?: Partial<KubeletConfig>
  readonly ingress?: IngressSettings
  /** The API is another process's: bookmarks let a watch resume, and caches keep what they need alone. Default: false. */
  readonly bookmarks?: boolean
}
export interface ClusterNode {
  readonly name: string
  readonly kubelet: Kubelet
  readonly proxy: Proxy | undefined
  readonly dns: DnsServer | undefined
  readonly ingress: IngressServer | undefined
  /** Ends the node's agent; its pods as `options` say (default: kept). The Node object stays. */
  stop(options?: StopOptions): Promise<void>
}

/** Starts a node's agent. Rejects when the runtime or the machine cannot be asked. */
export async function startNode(options: NodeAgentOptions): Promise<ClusterNode> {
  const { name, ports, clock, random, network, bookmarks = false } = options
  const log = options.log.child({ node: name })
  const informersOver = (transport: Transport, userAgent: string, lean: boolean) => {
    const client = createClient(transport, { userAgent })
    return { client, informers: createInformerFactory({ client, clock, random, log, bookmarks, lean }) }
  }
  const own = informersOver(options.kubeletTransport, 'kubelet', false)
  const { dnsAddresses, domain } = network
  const kubelet = await startKubelet({
    ...own,
    ...ports,
    clock,
    random,
    log,
    nodeName: name,
    config: { clusterDns: dnsAddresses, clusterDomain: domain ?? 'cluster.local', ...options.config },
  })
  const { dataplane, dnsSockets, podNetwork, edge, outgoing } = ports
  const wanted = [dataplane, dnsSockets, podNetwork, edge].some((port) => port !== undefined)
  const shared = wanted ? informersOver(options.networkTransport, 'kube-proxy', bookmarks) : undefined
  const pool = (network.loadBalancerPool ?? []).flatMap((text) => parseIpRange(text) ?? [])
  let proxy: Proxy | undefined
  let dns: DnsServer | undefined
  let routes: PodRoutes | undefined
  let ingress: IngressServer | undefined
  if (shared !== undefined) {
    const { informers } = shared
    if (podNetwork !== undefined) routes = startPodRoutes({ informers, podNetwork, clock, log, nodeName: name })
    if (dataplane !== undefined) {
      const { missing } = await ports.host.facts()
      proxy = startProxy({
        informers,
        dataplane,
        clock,
        log,
        nodeName: name,
        podCidrs: network.clusterCidrs,
        serviceCidrs: network.serviceCidrs,
        ownAddresses: dnsAddresses,
        ...(edge === undefined ? {} : { edge }),
        recorder: createEventRecorder({ client: own.client, clock, log, component: 'kube-proxy', host: name }),
        unsupported: missing.includes('no SCTP') ? ['SCTP'] : [],
        ...(pool.length === 0 ? {} : { loadBalancerPool: pool }),
      })
    }
    if (dnsSockets !== undefined && dnsAddresses.length > 0)
      dns = startDns({
        informers,
        sockets: dnsSockets,
        clock,
        random,
        log,
        addresses: dnsAddresses,
        ...(domain === undefined ? {} : { domain }),
      })
    if (edge !== undefined && outgoing !== undefined)
      ingress = startIngress({
        ...shared,
        nodeClient: own.client,
        nodeName: name,
        edge,
        outgoing,
        clock,
        random,
        log,
        ...options.ingress,
      })
  }
  return {
    name,
    kubelet,
    proxy,
    dns,
    ingress,
    async stop(stopOptions = { pods: 'keep' }) {
      await ingress?.stop()
      await proxy?.stop()
      routes?.stop()
      await dns?.stop()
      await kubelet.stop(stopOptions)
      shared?.informers.stop()
      own.informers.stop()
      if (stopOptions.pods === 'remove') await Promise.all([dataplane?.clear(), podNetwork?.clear()])
    },
  }
}
