// The pod network across nodes: watches Nodes and hands their pod CIDRs and addresses to the port whenever one of them
// changed. Statuses change every few seconds, addresses hardly ever: only what matters to routes wakes it.
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { networkNodeOf } from '../api/core/node-addresses.ts'
import { equal } from '../api/machinery/equal.ts'
import type { InformerFactory } from '../client/informer.ts'
import { createSettleLoop } from '../client/settle-loop.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { NetworkNode, PodNetwork } from '../ports/pod-network.ts'

export interface PodRoutesOptions {
  readonly informers: InformerFactory
  readonly podNetwork: PodNetwork
  readonly clock: Clock
  readonly log: Log
  readonly nodeName: string
}
export interface PodRoutes {
  stop(): void
}
const retryMs = 1000

/** Follows the nodes until `stop`; the routes stay as they are then. */
export function startPodRoutes(options: PodRoutesOptions): PodRoutes {
  const { informers, podNetwork, clock, log, nodeName } = options
  const informer = informers.informer(nodeKind)
  const known = new Map<string, NetworkNode>()
  let stopped = false

  async function applyAll(): Promise<void> {
    const self = known.get(nodeName)
    // Without our own share nothing of ours could be reached from there.
    if (self === undefined) return
    await podNetwork.apply(
      self,
      [...known.values()].filter((node) => node.name !== nodeName),
    )
  }
  const loop = createSettleLoop(clock, retryMs, applyAll, (error) =>
    log.error('routes to other nodes were refused', { error: error instanceof Error ? error.message : String(error) }),
  )
  const see = (node: Node) => {
    const now = networkNodeOf(node)
    const { name } = node.metadata
    if (equal(known.get(name), now)) return
    if (now === undefined) known.delete(name)
    else known.set(name, now)
    loop.poke()
  }
  let unwatch = () => {}
  void informer.synced.then(() => {
    if (stopped) return
    unwatch = informer.handle({
      add: see,
      update: see,
      delete: (node) => {
        if (known.delete(node.metadata.name)) loop.poke()
      },
    })
  })
  return {
    stop() {
      stopped = true
      void loop.stop()
      unwatch()
    },
  }
}
