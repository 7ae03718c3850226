// The way to pods on other nodes as a port: the agent says which nodes there are and which pods' addresses each holds; the
// host makes routes, and tunnels where nodes share no link.
export interface NetworkNode {
  readonly name: string
  /** Internal addresses, at most one an IP family. */
  readonly addresses: readonly string[]
  readonly podCidrs: readonly string[]
}
export interface PodNetwork {
  /** Makes the kernel lead to the pods of every node in `nodes`, and forget those that are not in it any more.
   * `self` is this node: its own CIDRs go to the runtime's network configuration.
   * Rejects with one clear line when the kernel refuses; what could be done is done. */
  apply(self: NetworkNode, nodes: readonly NetworkNode[]): Promise<void>
  /** Takes every route and device of ours away. */
  clear(): Promise<void>
}
