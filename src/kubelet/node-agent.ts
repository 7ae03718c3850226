// The node's side of the Node object: registers it, keeps its status true (told when it changes, else every five minutes)
// and renews its Lease. While the runtime is not ready it is asked often, so that the node is Ready as soon as it can be.
import { leases } from '../api/coordination/lease.ts'
import { nodes, type Node } from '../api/core/node.ts'
import { semanticEqual } from '../api/machinery/equal.ts'
import { isReason } from '../api/machinery/errors.ts'
import { rfc3339Micro, type Timer } from '../ports/clock.ts'
import type { RuntimeCondition, RuntimeImage } from '../ports/container-runtime.ts'
import type { KubeletContext } from './context.ts'
import { allocatableOf, capacityOf, nodeLabels, nodeStatus, type NodeFacts, type Pressure } from './node-status.ts'

const leaseNamespace = 'kube-node-lease'
const eagerMs = 100

export interface NodeAgentOptions {
  readonly recordNode: (type: 'Normal' | 'Warning', reason: string, message: string) => void
  readonly pressure: () => Pressure
  readonly goingDown: () => boolean
  /** Why the kubelet does not trust its view of the runtime. */
  readonly runtimeTrouble: () => string | undefined
}

export class NodeAgent {
  readonly #context: KubeletContext
  readonly #options: NodeAgentOptions
  #timer: Timer | undefined
  #leaseTimer: Timer | undefined
  #stopped = false
  #reportedAtMs = Number.NEGATIVE_INFINITY
  #known: Node | undefined
  #diskBytes = 0
  #busy = false
  #again = false
  #ready = false
  #renewing = false
  constructor(context: KubeletContext, options: NodeAgentOptions) {
    this.#context = context
    this.#options = options
  }
  get node(): Node | undefined {
    return this.#known
  }
  /** Takes in what the API says of the node. */
  seen(node: Node): void {
    if (Number(node.metadata.resourceVersion) >= Number(this.#known?.metadata.resourceVersion ?? 0)) this.#known = node
  }
  /** The API lost the node: it is registered anew. */
  gone(): void {
    this.#known = undefined
    this.#reportedAtMs = Number.NEGATIVE_INFINITY
    this.update()
  }
  /** Amounts by which resource fields without a limit are answered, before the node is registered too. */
  allocatable(): Readonly<Record<string, string>> {
    const { machine, config } = this.#context
    const parts = { machine, config, diskBytes: this.#diskBytes, devices: this.#context.devices.counts() }
    return allocatableOf(capacityOf(parts), parts)
  }
  /** Begins: the first status is written as soon as the API answers. */
  start(): void {
    this.#options.recordNode('Normal', 'Starting', 'Starting kubelet.')
    this.update()
  }
  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#leaseTimer?.cancel()
  }
  /** Something that the status shows may have changed. */
  update(): void {
    this.#again = true
    if (!this.#busy) void this.#run()
  }

  /** Boundary: what fails is logged and tried again. */
  async #run(): Promise<void> {
    this.#busy = true
    await Promise.resolve()
    while (this.#again && !this.#stopped) {
      this.#again = false
      try {
        await this.#report()
      } catch (error) {
        this.#ready = false
        this.#context.log.warn('cannot report the node', { error: String(error) })
      }
    }
    this.#busy = false
    if (this.#stopped) return
    this.#timer?.cancel()
    const { clock, config } = this.#context
    this.#timer = clock.after(this.#ready ? config.nodeStatusUpdateMs : eagerMs, () => this.update())
  }
  async #report(): Promise<void> {
    const { client, clock, config, nodeName } = this.#context
    const facts = await this.#facts()
    const resource = client.resource(nodes)
    const node = this.#known ?? (await resource.find(nodeName)) ?? (await this.#register(facts))
    if (node === undefined) return
    if (this.#known === undefined) this.#noticeReboot(node)
    if (!this.#renewing) this.#renew()
    const status = nodeStatus(facts, node.status)
    const labels = nodeLabels(facts)
    if (Object.entries(labels).some(([key, value]) => node.metadata.labels?.[key] !== value))
      await resource.patch(nodeName, undefined, 'merge', { metadata: { labels } })
    const due = clock.monotonic() - this.#reportedAtMs >= config.nodeStatusReportMs
    this.#ready = status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true
    if (!due && semanticEqual(withoutHeartbeat(node.status), withoutHeartbeat(status))) {
      this.#known = node
      return
    }
    this.#reportedAtMs = clock.monotonic()
    try {
      const patch = statusPatch(node.status, status)
      this.seen(await resource.patch(nodeName, undefined, 'strategic', { status: patch }, { subresource: 'status' }))
    } catch (error) {
      // The node was deleted: register it anew.
      this.#known = undefined
      this.#reportedAtMs = Number.NEGATIVE_INFINITY
      if (!isReason(error, 'NotFound')) throw error
      this.#again = true
    }
  }
  async #register(facts: NodeFacts): Promise<Node | undefined> {
    const { client, config, nodeName } = this.#context
    if (!config.registerNode) return undefined
    try {
      const taints = config.nodeTaints.map(({ key, value, effect }) => ({
        key,
        effect,
        ...(value === undefined ? {} : { value }),
      }))
      return await client.resource(nodes).create({
        metadata: {
          name: nodeName,
          labels: nodeLabels(facts),
          annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' },
        },
        spec: {
          ...(taints.length === 0 ? {} : { taints }),
          ...(config.providerId === undefined ? {} : { providerID: config.providerId }),
        },
        status: nodeStatus(facts, undefined),
      })
    } catch (error) {
      if (!isReason(error, 'AlreadyExists')) throw error
      return client.resource(nodes).get(nodeName)
    }
  }
  #noticeReboot(node: Node): void {
    const before = node.status.nodeInfo?.bootID
    const { bootId } = this.#context.machine
    if (before && before !== bootId)
      this.#options.recordNode(
        'Warning',
        'Rebooted',
        `Node ${node.metadata.name} has been rebooted, boot id: ${bootId}`,
      )
  }
  /** Boundary: a runtime that does not answer makes the node NotReady and says why. */
  async #facts(): Promise<NodeFacts> {
    const { runtime, disk, clock, machine, config, nodeName } = this.#context
    let runtimeConditions: readonly RuntimeCondition[] = []
    let images: readonly RuntimeImage[] = []
    let runtimeError = this.#options.runtimeTrouble()
    try {
      ;[runtimeConditions, images] = await Promise.all([runtime.status(), runtime.listImages()])
    } catch (error) {
      runtimeError = error instanceof Error ? error.message : String(error)
    }
    const { capacityBytes } = await disk.fileSystem(config.rootDirectory)
    this.#diskBytes = capacityBytes
    return {
      machine,
      config,
      nodeName,
      runtimeVersion: this.#context.runtimeVersion,
      runtimeFeatures: this.#context.runtimeFeatures,
      runtimeConditions,
      runtimeError,
      diskBytes: capacityBytes,
      pressure: this.#options.pressure(),
      goingDown: this.#options.goingDown(),
      images,
      devices: this.#context.devices.counts(),
      nowMs: clock.now(),
    }
  }

  #renew(): void {
    this.#renewing = true
    const { clock, config } = this.#context
    void this.#renewOnce().then((ok) => {
      if (this.#stopped) return
      const periodMs = (config.nodeLeaseSeconds * 1000) / 4
      this.#leaseTimer = clock.after(ok ? periodMs : Math.min(1000, periodMs), () => this.#renew())
    })
  }
  /** Boundary: a renewal that fails is logged; the next one comes soon. */
  async #renewOnce(): Promise<boolean> {
    const { client, clock, config, nodeName, log } = this.#context
    const resource = client.resource(leases)
    const spec = {
      holderIdentity: nodeName,
      leaseDurationSeconds: config.nodeLeaseSeconds,
      renewTime: rfc3339Micro(clock.now()),
    }
    try {
      await resource.patch(nodeName, leaseNamespace, 'merge', { spec })
      return true
    } catch (error) {
      if (!isReason(error, 'NotFound')) {
        log.warn('cannot renew the node lease', { error: String(error) })
        return false
      }
    }
    try {
      const uid = this.#known?.metadata.uid
      await resource.create({
        metadata: {
          name: nodeName,
          namespace: leaseNamespace,
          ...(uid === undefined ? {} : { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid }] }),
        },
        spec,
      })
      return true
    } catch (error) {
      log.debug('cannot create the node lease yet', { error: String(error) })
      return false
    }
  }
}

type Status = Node['status']
const withoutHeartbeat = (status: Status) => ({
  ...status,
  conditions: status.conditions?.map((condition) => ({ ...condition, lastHeartbeatTime: '' })),
})
/** What changed at the top level; conditions and addresses are merged by type. */
function statusPatch(from: Status, to: Status): Record<string, unknown> {
  const patch: Record<string, unknown> = { conditions: to.conditions }
  for (const [key, value] of Object.entries(to)) {
    if (key === 'conditions' || semanticEqual(from[key as keyof Status], value)) continue
    patch[key] =
      key === 'addresses' && (from.addresses?.length ?? 0) > 0
        ? [...(value as unknown[]), { $patch: 'replace' }]
        : value
  }
  return patch
}
