// What a whole cluster needs from outside, in one value: src/host makes it of the machine, src/sim of nothing.
import type { Clock } from './clock.ts'
import type { ContainerRuntime } from './container-runtime.ts'
import type { Dataplane } from './dataplane.ts'
import type { DevicePlugins } from './device-plugins.ts'
import type { Disk } from './disk.ts'
import type { DnsSockets } from './dns-sockets.ts'
import type { HttpEdge } from './http-edge.ts'
import type { Identity } from './identity.ts'
import type { Log } from './log.ts'
import type { NodePlugins } from './node-plugins.ts'
import type { NodeHost } from './node-host.ts'
import type { Outgoing } from './outgoing.ts'
import type { PodNetwork } from './pod-network.ts'
import type { PodResourcesSockets } from './pod-resources.ts'
import type { Programs } from './programs.ts'
import type { Prober } from './prober.ts'
import type { Random } from './random.ts'

/** For the control plane. */
export interface ClusterPorts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly identity: Identity
  /** Without it the API server calls nobody: no webhooks, no aggregated servers, no proxying. */
  readonly outgoing?: Outgoing
  /** Runs something a little later, together with what else happens at this moment. Default: the next microtask. */
  readonly defer?: (run: () => void) => void
}

/** For one node. */
export interface NodePorts {
  readonly runtime: ContainerRuntime
  readonly disk: Disk
  readonly host: NodeHost
  readonly prober: Prober
  /** Without it the node has no credential providers. */
  readonly programs?: Programs
  /** Without it the node takes no device plugins. */
  readonly devicePlugins?: DevicePlugins
  /** Without it the node takes no drivers of devices. */
  readonly nodePlugins?: NodePlugins
  /** Without it nobody on the node can ask what containers have for themselves. */
  readonly podResources?: PodResourcesSockets
  /** Without it the node has no service proxy. */
  readonly dataplane?: Dataplane
  /** Without it the node has no DNS server. */
  readonly dnsSockets?: DnsSockets
  /** Without it the node serves no Ingresses. */
  readonly edge?: HttpEdge
  /** How the node's ingress reaches pods; needed with `edge`. */
  readonly outgoing?: Outgoing
  /** Without it pods of other nodes are reached as the machine's own routes say. */
  readonly podNetwork?: PodNetwork
}
