// Hands each node its slice of the pod address ranges. What nodes hold is read from the nodes themselves; nothing else
// remembers it, so a restart cannot hand one slice out twice.
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { type Cidr, formatIp, parseCidr } from '../api/machinery/ip.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

/** One range that is cut into equal slices. */
export class SlicePool {
  private readonly base: Cidr
  private readonly bits: number
  private readonly maskSize: number
  private readonly taken = new Set<bigint>()
  private next = 0n
  constructor(cidr: string, maskSize: number | undefined) {
    const base = parseCidr(cidr)
    if (base === undefined) throw new Error(`${cidr} is no CIDR`)
    this.base = base
    this.bits = base.version === 4 ? 32 : 128
    const wanted = maskSize ?? (base.version === 4 ? 24 : 64)
    if (wanted < base.prefix || wanted > this.bits)
      throw new Error(`a node mask of ${wanted} does not fit into ${cidr}`)
    this.maskSize = wanted
  }
  private get size(): bigint {
    return 1n << BigInt(this.maskSize - this.base.prefix)
  }
  private indexOf(cidr: string): bigint | undefined {
    const slice = parseCidr(cidr)
    if (slice === undefined || slice.version !== this.base.version) return undefined
    const index = (slice.value - this.base.value) >> BigInt(this.bits - this.maskSize)
    return index >= 0n && index < this.size ? index : undefined
  }
  /** Marks a slice as held; false where it is not ours. */
  take(cidr: string): boolean {
    const index = this.indexOf(cidr)
    if (index === undefined) return false
    this.taken.add(index)
    return true
  }
  release(cidr: string): void {
    const index = this.indexOf(cidr)
    if (index !== undefined) this.taken.delete(index)
  }
  /** Takes the next free slice, going round; undefined when all are held. */
  allocate(): string | undefined {
    for (let tries = 0n; tries < this.size; tries++) {
      const index = this.next
      this.next = (this.next + 1n) % this.size
      if (this.taken.has(index)) continue
      this.taken.add(index)
      const value = this.base.value + (index << BigInt(this.bits - this.maskSize))
      return `${formatIp({ version: this.base.version, value })}/${this.maskSize}`
    }
    return undefined
  }
}
const cidrsOf = (node: Node): readonly string[] => node.spec.podCIDRs ?? (node.spec.podCIDR ? [node.spec.podCIDR] : [])

export const nodeIpamController: Controller = {
  name: 'node-ipam-controller',
  start(context) {
    const { clusterCidrs = [], nodeMaskSizes = [] } = context.settings ?? {}
    if (clusterCidrs.length === 0) return { stop: () => Promise.resolve() }
    const recorder = recorderFor(context, 'cidrAllocator')
    const nodes = context.informers.informer(nodeKind)
    const pools = clusterCidrs.map((cidr, i) => new SlicePool(cidr, nodeMaskSizes[i]))
    const hold = (node: Node) => {
      for (const cidr of cidrsOf(node)) for (const pool of pools) if (pool.take(cidr)) break
    }
    const free = (cidrs: readonly string[]) => {
      for (const cidr of cidrs) for (const pool of pools) pool.release(cidr)
    }
    const reconciler = startReconciler({
      context,
      caches: [nodes],
      parallel: 10,
      async reconcile(name, writes) {
        const node = nodes.get(name)
        if (node === undefined || cidrsOf(node).length > 0) return
        const podCIDRs: string[] = []
        for (const pool of pools) {
          const cidr = pool.allocate()
          if (cidr !== undefined) podCIDRs.push(cidr)
        }
        if (podCIDRs.length < pools.length) {
          free(podCIDRs)
          recorder.event(node, 'Normal', 'CIDRNotAvailable', `Node ${name} status is now: CIDRNotAvailable`)
          throw new Error(`no pod addresses are left for node ${name}`)
        }
        try {
          await writes.patch(nodeKind, node, 'strategic', { spec: { podCIDR: podCIDRs[0], podCIDRs } })
        } catch (error) {
          free(podCIDRs)
          recorder.event(node, 'Normal', 'CIDRAssignmentFailed', `Node ${name} status is now: CIDRAssignmentFailed`)
          throw error
        }
      },
      onStop() {
        off()
        recorder.stop()
      },
    })
    const off = nodes.handle({
      add(node) {
        hold(node)
        reconciler.enqueue(node.metadata.name)
      },
      update: hold,
      delete: (node) => free(cidrsOf(node)),
    })
    return reconciler
  },
}
