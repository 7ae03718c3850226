// Liveness, readiness and startup probes of all pods. A probe belongs to one run of a container: a restart begins anew. A
// container that has just started and is not ready yet is asked more often during its first second, silently, so that it
// becomes ready when it is and not a period later.
import type { Clock, Timer } from '../ports/clock.ts'
import type { ContainerStatus } from '../ports/container-runtime.ts'
import { checkProbe, type ProbeOutcome, type ProbePorts } from './check-probe.ts'
import { containerNameOf } from './labels.ts'
import type { PodRuntime, ProbeFacts } from './plan-pod.ts'
import { type Container, isHostNetwork, isSidecar, type Pod, type Probe, type RecordPodEvent } from './types.ts'

type Kind = 'startup' | 'readiness' | 'liveness'
const words: Readonly<Record<Kind, string>> = { startup: 'Startup', readiness: 'Readiness', liveness: 'Liveness' }

export interface ProbeDependencies extends ProbePorts {
  readonly clock: Clock
  readonly record: RecordPodEvent
  readonly userAgent: string
  readonly hostIP: () => string
  /** A result that matters has changed. */
  readonly onChange: (uid: string) => void
}

/** Retries of a readiness or startup probe in a container's first moments, milliseconds after the one before. */
const eagerDelaysMs = [50, 100, 150, 250, 400]

interface Run {
  readonly kind: Kind
  readonly probe: Probe
  readonly container: Container
  readonly status: ContainerStatus
  pod: Pod
  podIP: string
  timer: Timer | undefined
  busy: boolean
  /** Consecutive equal results. */
  streak: number
  last: boolean | undefined
  eager: number
  stopped: boolean
  /** The verdict after thresholds; undefined until the first. */
  verdict: boolean | undefined
}

const keyOf = (containerId: string, kind: Kind) => `${containerId} ${kind}`

export class Probes implements ProbeFacts {
  readonly #dependencies: ProbeDependencies
  readonly #runs = new Map<string, Run>()
  constructor(dependencies: ProbeDependencies) {
    this.#dependencies = dependencies
  }

  failed(containerId: string): 'liveness' | 'startup' | undefined {
    if (this.#runs.get(keyOf(containerId, 'startup'))?.verdict === false) return 'startup'
    return this.#runs.get(keyOf(containerId, 'liveness'))?.verdict === false ? 'liveness' : undefined
  }
  started(containerId: string): boolean {
    const run = this.#runs.get(keyOf(containerId, 'startup'))
    return run === undefined || run.verdict === true
  }
  ready(containerId: string): boolean {
    if (!this.started(containerId)) return false
    const run = this.#runs.get(keyOf(containerId, 'readiness'))
    return run === undefined || run.verdict === true
  }

  /** Makes the probes of a pod match what runs. `stopping`: only readiness is still asked. */
  sync(pod: Pod, runtime: PodRuntime, stopping: boolean): void {
    const uid = pod.metadata.uid
    const wanted = new Set<string>()
    const podIP = isHostNetwork(pod) ? this.#dependencies.hostIP() : (runtime.sandboxes[0]?.ips[0] ?? '')
    for (const status of runtime.containers) {
      if (status.state !== 'running') continue
      const container = probed(pod, containerNameOf(status))
      if (container === undefined) continue
      for (const kind of ['startup', 'readiness', 'liveness'] as const) {
        const probe = container[`${kind}Probe`]
        if (probe === undefined || (stopping && kind !== 'readiness')) continue
        const key = keyOf(status.id, kind)
        wanted.add(key)
        const known = this.#runs.get(key)
        if (known === undefined) this.#begin(key, pod, container, status, kind, probe, podIP)
        else {
          known.pod = pod
          known.podIP = podIP
        }
      }
    }
    for (const [key, run] of this.#runs) if (run.pod.metadata.uid === uid && !wanted.has(key)) this.#end(key, run)
  }
  forget(uid: string): void {
    for (const [key, run] of this.#runs) if (run.pod.metadata.uid === uid) this.#end(key, run)
  }
  stop(): void {
    for (const [key, run] of this.#runs) this.#end(key, run)
  }

  #end(key: string, run: Run): void {
    run.stopped = true
    run.timer?.cancel()
    this.#runs.delete(key)
  }
  #begin(
    key: string,
    pod: Pod,
    container: Container,
    status: ContainerStatus,
    kind: Kind,
    probe: Probe,
    podIP: string,
  ): void {
    const { clock } = this.#dependencies
    const run: Run = {
      kind,
      probe,
      container,
      status,
      pod,
      podIP,
      timer: undefined,
      busy: false,
      streak: 0,
      last: undefined,
      eager: 0,
      stopped: false,
      verdict: adoptedVerdict(pod, status, kind),
    }
    this.#runs.set(key, run)
    // Never negative, however the wall clock was set since: no probe may wait for the time to come back.
    const sinceStartMs = Math.max(0, clock.now() - status.startedAtMs)
    const initialMs = (probe.initialDelaySeconds ?? 0) * 1000
    // A liveness probe has no reason to hurry: nothing waits for its success.
    const extraMs = kind === 'liveness' ? Math.min(1000, probe.periodSeconds * 1000) : 0
    this.#schedule(run, Math.max(0, initialMs + extraMs - sinceStartMs))
  }
  #schedule(run: Run, delayMs: number): void {
    run.timer?.cancel()
    run.timer = this.#dependencies.clock.after(delayMs, () => void this.#tick(run))
  }

  async #tick(run: Run): Promise<void> {
    if (run.stopped || run.busy) return
    if (run.kind !== 'startup' && !this.started(run.status.id)) return
    run.busy = true
    const { container, status, probe, podIP } = run
    const outcome = await checkProbe(
      this.#dependencies,
      probe,
      { container, containerId: status.id, podIP },
      this.#dependencies.userAgent,
    )
    run.busy = false
    if (run.stopped) return
    if (this.#isEager(run, outcome)) return
    run.eager = eagerDelaysMs.length
    this.#tell(run, outcome)
    this.#count(run, outcome.result === 'success' || outcome.result === 'warning')
    if (!run.stopped && !this.#isSettled(run)) this.#schedule(run, probe.periodSeconds * 1000)
  }
  /** A container in its first second that refuses: asked again soon, without a word. */
  #isEager(run: Run, outcome: ProbeOutcome): boolean {
    if (run.kind === 'liveness' || outcome.result !== 'failure' || run.verdict === true) return false
    const delayMs = eagerDelaysMs[run.eager]
    if (delayMs === undefined || (run.probe.initialDelaySeconds ?? 0) > 0) return false
    if (this.#dependencies.clock.now() - run.status.startedAtMs > 1500) return false
    run.eager++
    this.#schedule(run, delayMs)
    return true
  }
  /** Nothing more to learn of this run: a startup probe that is through, or a container that is to be killed. */
  #isSettled(run: Run): boolean {
    if (run.kind === 'startup') return run.verdict !== undefined
    return run.kind === 'liveness' && run.verdict === false
  }
  #tell(run: Run, outcome: ProbeOutcome): void {
    if (outcome.result === 'success') return
    const { record } = this.#dependencies
    const word = words[run.kind]
    const { name } = run.container
    if (outcome.result === 'warning')
      record(run.pod, name, 'Warning', 'ProbeWarning', `${word} probe warning: ${outcome.output}`)
    else if (outcome.result === 'failure')
      record(run.pod, name, 'Warning', 'Unhealthy', `${word} probe failed: ${outcome.output}`)
    else
      record(
        run.pod,
        name,
        'Warning',
        'Unhealthy',
        `${word} probe errored and resulted in unknown state: ${outcome.output}`,
      )
  }
  #count(run: Run, ok: boolean): void {
    run.streak = run.last === ok ? run.streak + 1 : 1
    run.last = ok
    const threshold = ok ? run.probe.successThreshold : run.probe.failureThreshold
    if (run.streak < threshold || run.verdict === ok) return
    run.verdict = ok
    if (run.kind === 'startup' && ok) this.#wake(run.status.id)
    this.#dependencies.onChange(run.pod.metadata.uid)
  }
  /** The container has started: its other probes may begin. */
  #wake(containerId: string): void {
    for (const kind of ['readiness', 'liveness'] as const) {
      const run = this.#runs.get(keyOf(containerId, kind))
      if (run !== undefined) this.#schedule(run, kind === 'readiness' ? 0 : run.probe.periodSeconds * 1000)
    }
  }
}

/** App containers and sidecars are probed. */
function probed(pod: Pod, name: string): Container | undefined {
  const app = pod.spec.containers.find((c) => c.name === name)
  return app ?? pod.spec.initContainers?.find((c) => c.name === name && isSidecar(c))
}
/** What was known of this very run before the kubelet restarted. */
function adoptedVerdict(pod: Pod, status: ContainerStatus, kind: Kind): boolean | undefined {
  const all = [...(pod.status.containerStatuses ?? []), ...(pod.status.initContainerStatuses ?? [])]
  const known = all.find((s) => s.containerID?.endsWith(`//${status.id}`))
  if (known === undefined) return undefined
  if (kind === 'startup') return known.started === true ? true : undefined
  return kind === 'readiness' && known.ready ? true : undefined
}
