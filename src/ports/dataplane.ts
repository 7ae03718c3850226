// The node's packet rules as a port: the proxy says what should hold, whole; the host finds the difference to what is
// there and applies it in one transaction, so that no packet ever meets half a table.
export type Protocol = 'TCP' | 'UDP' | 'SCTP'
export interface Endpoint {
  readonly ip: string
  readonly port: number
  /** On this node (for traffic policies Local and for hairpin). */
  readonly local: boolean
}
/** One port of a Service in one address family. */
export interface ServiceRule {
  /** 'namespace/name:portName', for comments and counters; unique together with `family`. */
  readonly key: string
  readonly family: 4 | 6
  readonly protocol: Protocol
  readonly clusterIP: string | undefined
  readonly port: number
  /** On the node's addresses; undefined for none. */
  readonly nodePort: number | undefined
  /** externalIPs and load balancer addresses. */
  readonly externalIPs: readonly string[]
  readonly loadBalancerIPs: readonly string[]
  /** CIDRs that may use the load balancer addresses; empty for everybody. */
  readonly sourceRanges: readonly string[]
  /** Client IP affinity in seconds; undefined for none. */
  readonly affinitySeconds: number | undefined
  /** What the cluster IP goes to. Empty: refused at once (or dropped when `dropInternal`). */
  readonly internalEndpoints: readonly Endpoint[]
  /** What node ports and external addresses go to. */
  readonly externalEndpoints: readonly Endpoint[]
  /** Local policies without a local endpoint drop instead of refusing. */
  readonly dropInternal: boolean
  readonly dropExternal: boolean
  /** externalTrafficPolicy Local: the client's address is kept, no masquerade. */
  readonly keepClientAddress: boolean
}
/** What one rule of a policy lets pass, resolved to addresses. */
export interface PolicyAllow {
  /** Names it among those of a policy and direction; where it is equal, so are peers and exceptions. */
  readonly id: string
  /** CIDRs or addresses, which may overlap; empty for anybody. */
  readonly peers: readonly string[]
  readonly except: readonly string[]
  /** Empty for every port. */
  readonly ports: readonly { readonly protocol: Protocol; readonly port: number; readonly endPort?: number }[]
}
/** One direction of a NetworkPolicy for one pod of this node. */
export interface PolicyRule {
  /** 'namespace/policy'. */
  readonly key: string
  readonly podIP: string
  readonly direction: 'ingress' | 'egress'
  /** Any of these lets a packet pass; none at all isolates. */
  readonly allow: readonly PolicyAllow[]
}
export interface DataplaneState {
  /** CIDRs of pods of the whole cluster: traffic to a service from elsewhere is masqueraded. */
  readonly podCidrs: readonly string[]
  /** CIDRs of cluster IPs: an address in them without a rule is rejected here and does not leave by the default route. */
  readonly serviceCidrs: readonly string[]
  /** Addresses inside serviceCidrs that this node answers itself (the cluster's DNS). */
  readonly ownAddresses: readonly string[]
  /** Addresses that take node ports; empty for all of the node's. */
  readonly nodePortAddresses: readonly string[]
  /** Load balancer addresses that this node answers on its links (ARP, NDP). */
  readonly announcedAddresses: readonly string[]
  readonly services: readonly ServiceRule[]
  readonly policies: readonly PolicyRule[]
}
export interface Dataplane {
  /** Makes the kernel hold exactly `state` in our own tables. UDP flows to vanished endpoints are forgotten.
   * Rejects with one clear line when the kernel refuses; what held before then still holds. */
  apply(state: DataplaneState): Promise<void>
  /** Takes every rule of ours away. */
  clear(): Promise<void>
  /** Ports that programs of this machine listen on, as "TCP/30080"; without it they are not looked at. */
  heldPorts?(): Promise<ReadonlySet<string>>
}
