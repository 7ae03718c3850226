// The scheduling framework: what a plugin may be asked, in the order in which it is asked. A plugin is a plain object with
// the extension points that it cares about. From PreFilter to Reserve a cycle runs without interruption and cycles never
// overlap, so a plugin may keep what it worked out for the current pod in variables of its own.
import type { Client } from '../client/client.ts'
import type { EventRecorder } from '../client/event-recorder.ts'
import type { InformerFactory } from '../client/informer.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'
import type { Extender } from './extenders/extender.ts'
import type { QueuedPod } from './queue/queued-pod.ts'
import type { SchedulingEvent } from './queue/events.ts'
import type { Nominator } from './queue/nominator.ts'
import type { ClusterState } from './state/cluster-state.ts'
import type { NodeInfo } from './state/node-info.ts'
import type { PodInfo } from './state/pod-info.ts'

/**
 * Unschedulable: taking pods away may help. Unresolvable: it will not. Error: something is broken, the pod is tried again
 * after a back-off. Pending: the plugin waits for something and no event was recorded for it.
 */
export type RejectionCode = 'Unschedulable' | 'Unresolvable' | 'Pending' | 'Error'
export interface Rejection {
  readonly code: RejectionCode
  readonly reasons: readonly string[]
}
export const unschedulable = (...reasons: readonly string[]): Rejection => ({ code: 'Unschedulable', reasons })
export const unresolvable = (...reasons: readonly string[]): Rejection => ({ code: 'Unresolvable', reasons })
export const broken = (...reasons: readonly string[]): Rejection => ({ code: 'Error', reasons })

/** A rejection and who said it. */
export interface Verdict {
  readonly plugin: string
  readonly rejection: Rejection
}
/** Why each node was refused, by the node's slot. Written for many nodes of a cycle, read only when none was found. */
export class Verdicts {
  private readonly slots: number[] = []
  private readonly found: Verdict[] = []
  private readonly refusers = new Set<string>()
  private bySlot: Map<number, Verdict> | undefined
  private last = ''
  set(slot: number, verdict: Verdict): void {
    this.slots.push(slot)
    this.found.push(verdict)
    this.bySlot = undefined
    if (verdict.plugin === this.last) return
    this.last = verdict.plugin
    this.refusers.add(verdict.plugin)
  }
  /** The last that was set. */
  get(slot: number): Verdict | undefined {
    if (this.bySlot === undefined) {
      this.bySlot = new Map()
      this.found.forEach((verdict, i) => this.bySlot?.set(this.slots[i] ?? -1, verdict))
    }
    return this.bySlot.get(slot)
  }
  /** Names of the plugins that refused a node. */
  get plugins(): ReadonlySet<string> {
    return this.refusers
  }
}

/** One attempt to place one pod. */
export interface Cycle {
  readonly pod: PodInfo
  readonly state: ClusterState
  /** For what must live on after the cycle: from Reserve to PostBind. */
  readonly data: Map<string, unknown>
}
export const newCycle = (pod: PodInfo, state: ClusterState): Cycle => ({ pod, state, data: new Map() })

/** 'skip' leaves the plugin's Filter (after PreFilter) or Score (after PreScore) out of this cycle. */
export type PreFilterResult = 'skip' | Rejection | { readonly nodes: ReadonlySet<string> } | undefined
export type PostFilterResult =
  | { readonly nominated: string }
  /** `message` ends the FailedScheduling message; clearNomination takes back an earlier nomination. */
  | { readonly nominated: undefined; readonly message: string; readonly clearNomination: boolean }
  | undefined
export type PermitResult = Rejection | { readonly waitMs: number } | undefined

/** May this event let the pod through this plugin? What is not given cannot help. */
export interface Hints {
  /** A pod came to a node, left it, or changed there. */
  readonly assignedPod?: (pod: PodInfo, event: SchedulingEvent & { readonly what: 'assignedPod' }) => boolean
  /** The waiting pod itself changed. */
  readonly pod?: (pod: PodInfo, event: SchedulingEvent & { readonly what: 'pod' }) => boolean
  readonly node?: (pod: PodInfo, event: SchedulingEvent & { readonly what: 'node' }) => boolean
  /** A volume, claim, storage class, driver, namespace ... */
  readonly object?: (pod: PodInfo, event: SchedulingEvent & { readonly what: 'object' }) => boolean
}

export interface Plugin {
  readonly name: string
  /** Absent: every event may help. */
  readonly hints?: Hints
  preEnqueue?(pod: PodInfo): Rejection | undefined
  /** QueueSort: true when `a` goes first. */
  less?(a: QueuedPod, b: QueuedPod): boolean
  preFilter?(cycle: Cycle): PreFilterResult
  filter?(cycle: Cycle, node: NodeInfo): Rejection | undefined
  /**
   * Given where Filter and un-normalized Score look at nothing but the pod and the node: pods with equal signatures get
   * the same answers from this plugin for as long as the node does not change, so it is not asked again.
   */
  signature?(pod: PodInfo): string
  /** For a plugin that keeps counts of its own: a pod is tried on, or taken from, a node during the cycle. */
  addPod?(cycle: Cycle, pod: PodInfo, node: NodeInfo): void
  removePod?(cycle: Cycle, pod: PodInfo, node: NodeInfo): void
  /** A promise only where extenders must be asked: meanwhile no other pod is placed. */
  postFilter?(cycle: Cycle, verdicts: Verdicts): PostFilterResult | Promise<PostFilterResult>
  preScore?(cycle: Cycle, nodes: readonly NodeInfo[]): 'skip' | undefined
  /** Any number where `normalize` follows, else 0 to 100. */
  score?(cycle: Cycle, node: NodeInfo): number
  /** Brings the scores of `nodes` (same order) to 0 to 100, in place. */
  normalize?(cycle: Cycle, scores: Float64Array, nodes: readonly NodeInfo[]): void
  reserve?(cycle: Cycle, node: NodeInfo): Rejection | undefined
  /** Also called when `reserve` was not reached; must stand that. */
  unreserve?(cycle: Cycle, nodeName: string): void
  permit?(cycle: Cycle, node: NodeInfo): PermitResult
  /** True where PreBind would do nothing: spares the promise. */
  preBindIdle?(cycle: Cycle): boolean
  preBind?(cycle: Cycle, nodeName: string): Promise<Rejection | undefined>
  /** 'skip' leaves it to the next plugin. */
  bind?(cycle: Cycle, nodeName: string): Promise<'skip' | Rejection | undefined>
  postBind?(cycle: Cycle, nodeName: string): void
  /** The scheduler stops: give up what PreBind waits for. */
  close?(): void
}

/** A pod that Permit holds back. */
export interface WaitingPod {
  readonly pod: PodInfo
  readonly nodeName: string
  /** Plugins whose leave is still missing. */
  readonly pending: ReadonlySet<string>
  allow(plugin: string): void
  reject(plugin: string, message: string): void
}

/** What a plugin may use. */
export interface Handle {
  readonly schedulerName: string
  readonly client: Client
  readonly informers: InformerFactory
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly events: EventRecorder
  readonly state: ClusterState
  readonly nominator: Nominator
  /** Webhooks that take part in scheduling; nearly always none. */
  readonly extenders: readonly Extender[]
  waitingPods(): Iterable<WaitingPod>
  /** Runs the cycle's active filters on a node; the state may have been changed to try something. */
  runFilters(cycle: Cycle, node: NodeInfo): Verdict | undefined
  /** Takes a pod from its node, or puts it there, for the length of a trial: state and plugins are told. */
  tryRemove(cycle: Cycle, pod: PodInfo): void
  tryAdd(cycle: Cycle, pod: PodInfo, node: NodeInfo): void
  /** Something outside of the watched objects happened: pods that this event may help are tried again. */
  wake(event: SchedulingEvent): void
  /** Asks for a pod (by UID) to be tried again now. */
  activate(uid: string): void
  /** PreEnqueue may say something else about this pod now. */
  ungate(uid: string): void
}

export interface PluginFactory {
  readonly name: string
  /** `args` is what the profile's pluginConfig says, undefined for nothing. Throws Error for arguments it cannot use. */
  create(handle: Handle, args: unknown): Plugin
}
