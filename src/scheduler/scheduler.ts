// Assigns pods to nodes. One pod after another runs through an uninterrupted cycle (which node?), then counts as placed
// while its binding is written in the background; a cycle never waits for the API. After a slice of time the loop lets the
// rest of the process run.
import { type Pod, pods } from '../api/core/pod.ts'
import { isReason } from '../api/machinery/errors.ts'
import type { Client } from '../client/client.ts'
import { createEventRecorder, type EventRecorder } from '../client/event-recorder.ts'
import type { InformerFactory } from '../client/informer.ts'
import { type Clock, sleep } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import { noOutgoing, type Outgoing } from '../ports/outgoing.ts'
import type { Random } from '../ports/random.ts'
import { bind, permit, preBinders, WaitingRoom } from './binding.ts'
import { startInformers, watchCluster } from './cluster-watch.ts'
import { Extender, type ExtenderSettings } from './extenders/extender.ts'
import { extenderBinder, placeWithExtenders } from './extenders/extended-cycle.ts'
import { failureMessage, type PodReport, writeReport } from './failure.ts'
import {
  type Cycle,
  newCycle,
  type Plugin,
  type PluginFactory,
  type PostFilterResult,
  type Verdict,
  type Verdicts,
} from './framework.ts'
import type { Failure, FrameworkRun, Placement } from './framework-run.ts'
import { Lane } from './lane.ts'
import { createProfileRun, type Surroundings } from './profile-run.ts'
import { defaultSchedulerName, type SchedulerProfile } from './profiles.ts'
import { type Change, type Explanation, explain, tryChange } from './explain.ts'
import { suggest, type Suggestion } from './suggest.ts'
import { Nominator } from './queue/nominator.ts'
import type { QueuedPod } from './queue/queued-pod.ts'
import { SchedulingQueue, type Waiting } from './queue/scheduling-queue.ts'
import { ClusterState } from './state/cluster-state.ts'
import type { NodeInfo } from './state/node-info.ts'
import type { PodInfo } from './state/pod-info.ts'

export interface SchedulerOptions {
  readonly client: Client
  readonly informers: InformerFactory
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Default: one profile named default-scheduler with the default plugins. */
  readonly profiles?: readonly SchedulerProfile[]
  /** Plugins of one's own, to be enabled in profiles by name. */
  readonly plugins?: readonly PluginFactory[]
  /** Webhooks that take part in scheduling, for all profiles; they are called through `outgoing`. */
  readonly extenders?: readonly ExtenderSettings[]
  readonly outgoing?: Outgoing
  /** For profiles that do not say; 0: by the size of the cluster. */
  readonly percentageOfNodesToScore?: number
  readonly podInitialBackoffMs?: number
  readonly podMaxBackoffMs?: number
  /** Bindings and status writes under way at once. Default 64. */
  readonly writeParallel?: number
  /** How long cycles run before others get their turn. Default 4. */
  readonly sliceMs?: number
}
export interface SchedulerFigures {
  readonly active: number
  readonly backoff: number
  readonly unschedulable: number
  readonly gated: number
  /** Attempts by result since the start. */
  readonly scheduled: number
  readonly rejected: number
  readonly failed: number
}
/** unknown: not a pod of ours, or not seen yet. */
export type Whereabouts = 'placed' | 'binding' | Waiting | 'unknown'
export interface Scheduler {
  /** Resolves when the first lists are in and pods are being placed. */
  readonly ready: Promise<void>
  figures(): SchedulerFigures
  /** What every plugin says of every node for this pod, now; undefined where no profile is for it. */
  explain(pod: Pod): Explanation | undefined
  /** The same after a change, tried on a copy. */
  tryChange(pod: Pod, change: Change): Explanation | undefined
  /** The smallest changes found that would let the pod be placed; each was tried. */
  suggest(pod: Pod, limit?: number): readonly Suggestion[]
  /** Where the scheduler has the pod (by UID). */
  whereabouts(uid: string): Whereabouts
  /** Takes no more pods; resolves when bindings under way are done. */
  stop(): Promise<void>
}

/** How long a stop waits for events to be written. */
const lastEventsMs = 2000

interface Profile {
  readonly name: string
  readonly profile: SchedulerProfile
  readonly run: FrameworkRun
}

/** Shared informers, of which `synced` waits only for those that were asked for here. */
function onlyOurs(informers: InformerFactory): InformerFactory {
  const ours = new Set<Promise<void>>()
  return {
    informer(kind, selection) {
      const informer = informers.informer(kind, selection)
      ours.add(informer.synced)
      return informer
    },
    metadata(kind) {
      const informer = informers.metadata(kind)
      ours.add(informer.synced)
      return informer
    },
    async synced() {
      await Promise.all(ours)
    },
    stop: () => informers.stop(),
  }
}

/** Starts scheduling. Throws Error where a profile makes no sense. */
export function startScheduler(options: SchedulerOptions): Scheduler {
  return new RunningScheduler(options)
}

class RunningScheduler implements Scheduler {
  readonly ready: Promise<void>
  private readonly options: SchedulerOptions
  private readonly log: Log
  private readonly informers: InformerFactory
  private readonly state = new ClusterState()
  private readonly nominator = new Nominator()
  private readonly waitingRoom: WaitingRoom
  private readonly profiles = new Map<string, Profile>()
  private readonly queue: SchedulingQueue
  private readonly recorders = new Map<string, ReturnType<typeof createEventRecorder>>()
  private readonly extenders: readonly Extender[]
  private readonly ending = new AbortController()
  private readonly lane: Lane
  private readonly held = new Lane(Number.POSITIVE_INFINITY)
  private unwatch: () => void = () => {}
  private running = false
  private started = false
  private stopped = false
  private scheduled = 0
  private rejected = 0
  private failed = 0

  constructor(options: SchedulerOptions) {
    this.options = options
    this.log = options.log.child({ component: 'scheduler' })
    this.informers = onlyOurs(options.informers)
    this.waitingRoom = new WaitingRoom(options.clock)
    this.lane = new Lane(options.writeParallel ?? 64)
    const { outgoing = noOutgoing, clock } = options
    const needs = { outgoing, clock, resources: this.state.resources, signal: this.ending.signal }
    this.extenders = (options.extenders ?? []).map((one) => new Extender(one, needs))
    for (const profile of options.profiles ?? [{ schedulerName: defaultSchedulerName }]) this.addProfile(profile)
    const [first] = this.profiles.values()
    if (first === undefined) throw new Error('a scheduler needs at least one profile')
    const [sort] = first.run.points.queueSort
    this.queue = new SchedulingQueue({
      clock: options.clock,
      less: (a, b) => sort?.less?.(a, b) ?? false,
      gate: (pod) => this.gate(pod),
      hints: (pod, plugin) => this.profileOf(pod.pod)?.run.points.all.find(({ name }) => name === plugin)?.hints,
      onActive: () => this.kick(),
      ...(options.podInitialBackoffMs === undefined ? {} : { initialBackoffMs: options.podInitialBackoffMs }),
      ...(options.podMaxBackoffMs === undefined ? {} : { maxBackoffMs: options.podMaxBackoffMs }),
    })
    this.ready = this.start()
  }

  figures(): SchedulerFigures {
    const { scheduled, rejected, failed } = this
    return { ...this.queue.sizes, scheduled, rejected, failed }
  }
  async stop(): Promise<void> {
    this.stopped = true
    this.ending.abort()
    this.unwatch()
    this.queue.stop()
    for (const { run } of this.profiles.values()) for (const plugin of run.points.all) plugin.close?.()
    for (const waiting of this.waitingRoom.values()) waiting.reject('', 'the scheduler stops')
    await Promise.all([this.held.idle(), this.lane.idle()])
    for (const recorder of this.recorders.values()) {
      await Promise.race([recorder.flush(), sleep(this.options.clock, lastEventsMs)])
      recorder.stop()
    }
  }

  private addProfile(profile: SchedulerProfile): void {
    const { client, clock } = this.options
    const { schedulerName } = profile
    if (this.profiles.has(schedulerName)) throw new Error(`two profiles are named "${schedulerName}"`)
    const events = createEventRecorder({ client, clock, log: this.log, component: schedulerName })
    this.recorders.set(schedulerName, events)
    const run = createProfileRun(
      profile,
      {
        ...this.surroundings(events),
        state: this.state,
        nominator: this.nominator,
        extenders: this.extenders,
        waitingPods: () => this.waitingRoom.values(),
        wake: (event) => this.queue.wake(event),
        activate: (uid) => this.queue.promote(uid),
        ungate: (uid) => this.queue.ungate(uid),
      },
      this.options,
    )
    this.profiles.set(schedulerName, { name: schedulerName, profile, run })
  }
  private surroundings(events: EventRecorder) {
    const { client, clock, random } = this.options
    return { client, informers: this.informers, clock, random, log: this.log, events }
  }

  explain(pod: Pod): Explanation | undefined {
    const profile = this.profileOf(pod)
    return profile === undefined ? undefined : explain(profile.run, this.state, pod)
  }
  tryChange(pod: Pod, change: Change): Explanation | undefined {
    return this.onCopy(pod, (run, state) => tryChange(run, state, pod, change))
  }
  suggest(pod: Pod, limit?: number): readonly Suggestion[] {
    return this.onCopy(pod, (run, state) => suggest(run, state, pod, explain(run, state, pod), limit)) ?? []
  }
  /** The plugins of the pod's profile, made anew over a copy: what they write goes nowhere. */
  private onCopy<T>(pod: Pod, use: (run: FrameworkRun, state: ClusterState) => T): T | undefined {
    const profile = this.profileOf(pod)
    if (profile === undefined) return undefined
    const state = this.state.copy()
    const nothing = { event: () => {}, flush: () => Promise.resolve(), stop: () => {} }
    const surroundings: Surroundings = {
      ...this.surroundings(nothing),
      state,
      nominator: new Nominator(),
      extenders: [],
      waitingPods: () => [],
      wake: () => {},
      activate: () => {},
      ungate: () => {},
    }
    const run = createProfileRun(profile.profile, surroundings, this.options)
    try {
      return use(run, state)
    } finally {
      for (const plugin of run.points.all) plugin.close?.()
    }
  }
  whereabouts(uid: string): Whereabouts {
    if (this.state.nodeOf(uid) !== undefined) return this.state.isAssumed(uid) ? 'binding' : 'placed'
    return this.queue.whereabouts(uid)
  }
  private profileOf(pod: Pod): Profile | undefined {
    return this.profiles.get(pod.spec.schedulerName)
  }
  private gate(pod: PodInfo): Verdict | undefined {
    for (const plugin of this.profileOf(pod.pod)?.run.points.preEnqueue ?? []) {
      const rejection = plugin.preEnqueue?.(pod)
      if (rejection !== undefined) return { plugin: plugin.name, rejection }
    }
    return undefined
  }

  private async start(): Promise<void> {
    const { informers } = this
    startInformers(informers)
    await informers.synced()
    if (this.stopped) return
    this.unwatch = watchCluster({
      informers,
      state: this.state,
      queue: this.queue,
      nominator: this.nominator,
      waitingRoom: this.waitingRoom,
      isOurs: (pod) => this.profileOf(pod) !== undefined,
    })
    this.started = true
    this.kick()
  }

  private kick(): void {
    if (this.running || this.stopped || !this.started || this.queue.ready === 0) return
    this.running = true
    queueMicrotask(() => this.work())
  }
  private work(): void {
    const { clock, sliceMs = 4 } = this.options
    const untilMs = clock.monotonic() + sliceMs
    while (!this.stopped) {
      const entry = this.queue.pop()
      if (entry === undefined) break
      const pending = this.scheduleOne(entry)
      if (pending !== undefined) {
        void pending.then(() => this.work())
        return
      }
      if (clock.monotonic() < untilMs) continue
      clock.after(0, () => this.work())
      return
    }
    this.running = false
  }

  /** A promise only where extenders have to be asked. */
  private scheduleOne(entry: QueuedPod): Promise<void> | undefined {
    const { info } = entry
    const profile = this.profileOf(info.pod)
    if (profile === undefined || this.isOver(entry)) {
      this.queue.done(entry)
      return undefined
    }
    const asked = this.extendersFor(info, (one) => one.filters || one.prioritizes)
    if (asked.length > 0) return this.scheduleExtended(profile, entry, asked)
    const cycle = newCycle(info, this.state)
    // Boundary: a plugin that throws fails this attempt, not the scheduler.
    try {
      const pending = this.settle(profile, entry, cycle, profile.run.place(cycle))
      return pending?.catch((error: unknown) => this.crashed(profile, entry, cycle, error))
    } catch (error) {
      this.crashed(profile, entry, cycle, error)
      return undefined
    }
  }
  private isOver({ info }: QueuedPod): boolean {
    return info.terminating || this.state.nodeOf(info.uid) !== undefined
  }
  private extendersFor(info: PodInfo, does: (one: Extender) => boolean): readonly Extender[] {
    const { extenders } = this
    return extenders.length === 0 ? extenders : extenders.filter((one) => does(one) && one.isInterestedIn(info))
  }
  /** Boundary, as above. */
  private async scheduleExtended(profile: Profile, entry: QueuedPod, asked: readonly Extender[]): Promise<void> {
    const begin = () => newCycle(entry.info, this.state)
    let cycle = begin()
    try {
      const found = await placeWithExtenders(profile.run, begin, asked, this.log)
      if (this.stopped || entry.removed || this.isOver(entry)) return this.queue.done(entry)
      if ('failed' in found) return this.broke(profile, entry, found.failed.rejection.reasons.join(', '))
      ;({ cycle } = found)
      await this.settle(profile, entry, cycle, found.placement)
    } catch (error) {
      this.crashed(profile, entry, cycle, error)
    }
  }
  private settle(profile: Profile, entry: QueuedPod, cycle: Cycle, placement: Placement): Promise<void> | undefined {
    if (placement.node === undefined) return this.refused(profile, entry, cycle, placement.failure)
    this.assume(profile, entry, cycle, placement.node)
    return undefined
  }
  private crashed(profile: Profile, entry: QueuedPod, cycle: Cycle, error: unknown): void {
    this.log.error('scheduling cycle failed', { pod: entry.info.key, error })
    this.forget(profile, cycle)
    this.broke(profile, entry, String(error))
  }

  /** No node: asks PostFilter what could be done, parks the pod and says why. */
  private refused(profile: Profile, entry: QueuedPod, cycle: Cycle, failure: Failure): Promise<void> | undefined {
    const results = failure.nodes === 0 ? [] : askPostFilters(profile.run.points.postFilter, cycle, failure.verdicts)
    if (results instanceof Promise)
      return results.then((late) => {
        if (this.stopped || entry.removed || this.isOver(entry)) this.queue.done(entry)
        else this.park(profile, entry, failure, late)
      })
    this.park(profile, entry, failure, results)
    return undefined
  }
  private park(profile: Profile, entry: QueuedPod, failure: Failure, results: readonly PostFilterResult[]): void {
    const { info } = entry
    const messages: string[] = []
    let nominatedNodeName: string | undefined
    for (const result of results) {
      if (result === undefined) continue
      if (result.nominated !== undefined) {
        nominatedNodeName = result.nominated
        break
      }
      messages.push(result.message)
      if (result.clearNomination) nominatedNodeName = ''
    }
    if (nominatedNodeName) this.nominator.set(info, nominatedNodeName)
    else if (nominatedNodeName === '') this.nominator.delete(info.uid)
    const message = failureMessage(failure, this.state, messages.join(', '))
    this.rejected++
    const isBroken = failure.preFilter?.rejection.code === 'Error'
    if (isBroken) return this.broke(profile, entry, message)
    // without nodes everybody waits for one
    const plugins =
      failure.plugins.size > 0 ? failure.plugins : new Set(profile.run.points.filter.map(({ name }) => name))
    this.queue.reject(entry, plugins)
    this.report(profile, info, { reason: 'Unschedulable', message, nominatedNodeName })
  }
  private broke(profile: Profile, entry: QueuedPod, message: string): void {
    this.failed++
    this.queue.fail(entry)
    this.report(profile, entry.info, { reason: 'SchedulerError', message })
  }
  private report(profile: Profile, info: PodInfo, report: PodReport): void {
    this.recorders.get(profile.name)?.event(info.pod, 'Warning', 'FailedScheduling', report.message)
    const { client, clock } = this.options
    this.lane.run(() => writeReport({ client, clock, log: this.log }, info.pod, report))
  }

  /** The pod counts on its node from here on; the rest happens in the background. */
  private assume(profile: Profile, entry: QueuedPod, cycle: Cycle, node: NodeInfo): void {
    const { run } = profile
    const { info } = entry
    this.state.addPod(info, node.name, true)
    this.nominator.delete(info.uid)
    const refusal = run.reserve(cycle, node) ?? this.permitted(run, cycle, node)
    if (refusal !== undefined && 'plugin' in refusal) {
      this.forget(profile, cycle)
      return this.turnedAway(profile, entry, refusal)
    }
    this.queue.wake({ what: 'assignedPod', change: 'add', pod: info, node })
    const waits = refusal?.waits
    if (waits === undefined && preBinders(run.points, cycle).length === 0) {
      this.queue.done(entry)
      this.lane.run(() => this.bind(profile, entry, cycle, node.name))
      return
    }
    // what holds a pod back for long must not stand in the way of other bindings
    this.held.run(async () => {
      const verdict = waits === undefined ? undefined : await this.waitingRoom.wait(info, node.name, waits)
      if (verdict === undefined) return this.bind(profile, entry, cycle, node.name)
      this.takeBack(profile, entry, cycle, verdict, undefined)
    })
  }
  private permitted(run: FrameworkRun, cycle: Cycle, node: NodeInfo) {
    const answer = permit(run.points, cycle, node)
    return 'refused' in answer ? answer.refused : answer
  }
  private turnedAway(profile: Profile, entry: QueuedPod, verdict: Verdict): void {
    const { plugin, rejection } = verdict
    const message = rejection.reasons.join(', ')
    if (rejection.code === 'Error') return this.broke(profile, entry, message)
    this.rejected++
    this.queue.reject(entry, new Set([plugin]))
    this.report(profile, entry.info, { reason: 'Unschedulable', message: `0/1 nodes are available: 1 ${message}.` })
  }
  /** The pod is not on the node after all. */
  private forget(profile: Profile, cycle: Cycle): void {
    const { uid } = cycle.pod
    if (!this.state.isAssumed(uid)) return
    const node = this.state.removePod(uid)
    if (node !== undefined) profile.run.unreserve(cycle, node.name)
    this.queue.wake({ what: 'assignedPod', change: 'delete', pod: cycle.pod, node })
  }

  private async bind(profile: Profile, entry: QueuedPod, cycle: Cycle, nodeName: string): Promise<void> {
    const { info } = entry
    const [binder] = this.extendersFor(info, ({ binds }) => binds)
    const failure = await bind(profile.run.points, cycle, nodeName, binder && extenderBinder(binder, this.log))
    if (failure !== undefined) return this.takeBack(profile, entry, cycle, failure.verdict, failure.error)
    this.scheduled++
    this.queue.done(entry)
    const message = `Successfully assigned ${info.key} to ${nodeName}`
    this.recorders.get(profile.name)?.event(info.pod, 'Normal', 'Scheduled', message)
  }
  private takeBack(profile: Profile, entry: QueuedPod, cycle: Cycle, verdict: Verdict, error: unknown): void {
    const { info } = entry
    this.forget(profile, cycle)
    const current = this.options.informers.informer(pods).get(info.name, info.namespace)
    const gone = current === undefined || current.metadata.uid !== info.uid || isReason(error, 'NotFound')
    if (this.stopped || gone || current.spec.nodeName) {
      this.queue.done(entry)
      return
    }
    if (!info.refresh(current)) entry.info = this.state.parse(current)
    this.log.warn('pod could not be bound', { pod: info.key, reasons: verdict.rejection.reasons })
    this.turnedAway(profile, entry, verdict)
  }
}

/** What PostFilter plugins say, up to the one that found a node. A promise only where one of them has to wait. */
function askPostFilters(
  plugins: readonly Plugin[],
  cycle: Cycle,
  verdicts: Verdicts,
  before: readonly PostFilterResult[] = [],
): readonly PostFilterResult[] | Promise<readonly PostFilterResult[]> {
  const results = [...before]
  for (const [i, plugin] of plugins.entries()) {
    const result = plugin.postFilter?.(cycle, verdicts)
    if (result instanceof Promise)
      return result.then((late) =>
        late?.nominated === undefined
          ? askPostFilters(plugins.slice(i + 1), cycle, verdicts, [...results, late])
          : [...results, late],
      )
    results.push(result)
    if (result?.nominated !== undefined) break
  }
  return results
}
