// The status of a pod, computed whole from its spec, the runtime, the probes and what was last reported. Pure: the same
// facts give the same status, so a restarted kubelet has nothing to write.
import type { ContainerStatus } from '../ports/container-runtime.ts'
import { rfc3339 } from '../ports/clock.ts'
import { podConditions } from './conditions.ts'
import { containerNameOf, restartCountOf } from './labels.ts'
import { type PodRuntime, shouldRestart } from './plan-pod.ts'
import { podPhase } from './phase.ts'
import { qosOf } from './resources.ts'
import {
  type AnyContainer,
  type ApiContainerState,
  type ApiContainerStatus,
  type Container,
  isHostNetwork,
  isSidecar,
  type Pod,
  type PodStatus,
} from './types.ts'

export interface Waiting {
  readonly reason: string
  readonly message: string
}
export interface StatusFacts {
  readonly nowMs: number
  readonly hostIPs: readonly string[]
  /** 'containerd': what stands before :// in a container id. */
  readonly runtimeName: string
  /** Why a container does not run, by name: what the last attempt to start it came to. */
  readonly waiting: ReadonlyMap<string, Waiting>
  /** By container id: the startup probe has succeeded (or there is none). */
  started(containerId: string): boolean
  /** By container id: the readiness probe succeeds (or there is none). */
  ready(containerId: string): boolean
  /** Everything has stopped for good: the phase may be terminal whatever the restart policy. */
  readonly ended: boolean
  /** The pod fails as a whole: evicted, past its deadline, refused. */
  readonly failure: Waiting | undefined
  /** Why the kubelet ends the pod although it would run on: the condition DisruptionTarget. */
  readonly disrupted: Waiting | undefined
  readonly resize: {
    /** Resources that the runtime enforces, by container id. */
    readonly enforced: ReadonlyMap<string, NonNullable<Container['resources']>>
    readonly pending: Waiting | undefined
    readonly progress: Waiting | undefined
  }
  /** Text of the termination message by container id. */
  readonly messages: ReadonlyMap<string, string>
}

type Terminated = NonNullable<ApiContainerState['terminated']>
const vanished: Terminated = {
  exitCode: 137,
  reason: 'ContainerStatusUnknown',
  message: 'The container could not be located when the pod was terminated',
}

function terminated(status: ContainerStatus, facts: StatusFacts): Terminated {
  const message = facts.messages.get(status.id) ?? status.message
  return {
    exitCode: status.exitCode,
    reason: status.reason || (status.exitCode === 0 ? 'Completed' : 'Error'),
    ...(message === '' ? {} : { message }),
    ...(status.startedAtMs === 0 ? {} : { startedAt: rfc3339(status.startedAtMs) }),
    finishedAt: rfc3339(status.finishedAtMs),
    containerID: `${facts.runtimeName}://${status.id}`,
  }
}

function stateOf(status: ContainerStatus, idle: Waiting, facts: StatusFacts): ApiContainerState {
  if (status.state === 'running') return { running: { startedAt: rfc3339(status.startedAtMs) } }
  if (status.state === 'exited') return { terminated: terminated(status, facts) }
  return { waiting: waitingState(idle) }
}
const waitingState = ({ reason, message }: Waiting) => ({ reason, ...(message === '' ? {} : { message }) })

/** A container of which the runtime knows nothing: not made yet, or gone with its disk. */
function withoutRuntime(
  container: AnyContainer,
  old: ApiContainerStatus | undefined,
  idle: Waiting,
  facts: StatusFacts,
): ApiContainerStatus {
  const base: ApiContainerStatus = {
    name: container.name,
    image: container.image ?? '',
    imageID: '',
    ready: false,
    restartCount: old?.restartCount ?? 0,
    started: false,
    state: { waiting: waitingState(idle) },
    lastState: old?.lastState ?? {},
  }
  if (old?.state?.terminated !== undefined) return { ...old, ready: old.ready && old.state.terminated.exitCode === 0 }
  if (old?.state?.running === undefined) return base
  if (facts.ended) return { ...base, state: { terminated: vanished } }
  return { ...base, restartCount: base.restartCount + 1, lastState: { terminated: vanished } }
}

function details(container: AnyContainer, status: ContainerStatus, facts: StatusFacts): Partial<ApiContainerStatus> {
  const granted = 'resources' in container ? container.resources : undefined
  const resources = facts.resize.enforced.get(status.id) ?? granted
  const mounts = container.volumeMounts ?? []
  return {
    ...(resources === undefined || Object.keys(resources).length === 0 || status.state !== 'running'
      ? {}
      : { resources, ...(granted?.requests === undefined ? {} : { allocatedResources: granted.requests }) }),
    ...(mounts.length === 0
      ? {}
      : {
          volumeMounts: mounts.map(({ name, mountPath, readOnly, recursiveReadOnly }) => ({
            name,
            mountPath,
            ...(readOnly
              ? { readOnly, recursiveReadOnly: recursiveReadOnly === 'Enabled' ? 'Enabled' : 'Disabled' }
              : {}),
          })),
        }),
    ...(status.user === undefined
      ? {}
      : {
          user: {
            linux: {
              uid: status.user.uid,
              gid: status.user.gid,
              ...(status.user.supplementalGroups.length === 0
                ? {}
                : { supplementalGroups: status.user.supplementalGroups }),
            },
          },
        }),
  }
}

/** `history`: the runs of this container, newest first. */
function containerStatus(
  container: AnyContainer,
  history: readonly ContainerStatus[],
  old: ApiContainerStatus | undefined,
  idle: Waiting,
  regularInit: boolean,
  facts: PodFacts,
): ApiContainerStatus {
  const waiting = facts.waiting.get(container.name)
  const [newest, ...earlier] = history
  if (newest === undefined) return withoutRuntime(container, old, waiting ?? idle, facts)
  // Of a run that the runtime has lost sight of nothing new is known.
  const unseen = newest.state === 'unknown' && old?.containerID?.endsWith(`//${newest.id}`) === true
  const state = unseen && old.state !== undefined ? old.state : stateOf(newest, waiting ?? idle, facts)
  const ended = earlier.find((run) => run.state === 'exited')
  const sameRun = old?.restartCount === restartCountOf(newest)
  let lastState: ApiContainerState =
    ended !== undefined ? { terminated: terminated(ended, facts) } : sameRun ? (old?.lastState ?? {}) : {}
  let shown = state
  // Between two runs: why the next one does not begin hides how the last one ended.
  const again = newest.state === 'exited' && shouldRestart(facts.pod, container, newest.exitCode)
  if (again && waiting !== undefined && !facts.ended) {
    shown = { waiting: waitingState(waiting) }
    lastState = state
  }
  const running = newest.state === 'running'
  const done = newest.state === 'exited' && newest.exitCode === 0
  return {
    name: container.name,
    image: newest.image || (container.image ?? ''),
    imageID: newest.imageRef,
    containerID: `${facts.runtimeName}://${newest.id}`,
    restartCount: restartCountOf(newest),
    ready: regularInit ? done : running && facts.ready(newest.id),
    started: running && (regularInit || facts.started(newest.id)),
    state: shown,
    lastState,
    ...details(container, newest, facts),
  }
}

type PodFacts = StatusFacts & { readonly pod: Pod }
const creating: Waiting = { reason: 'ContainerCreating', message: '' }
const initializing: Waiting = { reason: 'PodInitializing', message: '' }

function statusesOf(
  containers: readonly AnyContainer[],
  olds: readonly ApiContainerStatus[] | undefined,
  runtime: PodRuntime,
  idle: Waiting,
  facts: PodFacts,
  init: boolean,
): ApiContainerStatus[] {
  return containers.map((container) => {
    const history = runtime.containers.filter((c) => containerNameOf(c) === container.name)
    const old = olds?.find((o) => o.name === container.name)
    return containerStatus(container, history, old, idle, init && !isSidecar(container), facts)
  })
}
const byName = (a: ApiContainerStatus, b: ApiContainerStatus) => (a.name < b.name ? -1 : 1)

/** IP addresses of the pod: the host's on its network, else those of the newest sandbox while it is up. */
function addresses(pod: Pod, runtime: PodRuntime, old: PodStatus | undefined, facts: StatusFacts): readonly string[] {
  if (isHostNetwork(pod)) return runtime.sandboxes.length > 0 || old?.podIP ? facts.hostIPs : []
  const ips = runtime.sandboxes.find((s) => s.ready)?.ips ?? []
  if (ips.length > 0) return ips
  // An ended pod keeps the address it had.
  return old?.podIPs?.map((p) => p.ip) ?? []
}

interface ContainerParts {
  readonly initContainerStatuses: readonly ApiContainerStatus[]
  readonly containerStatuses: readonly ApiContainerStatus[]
}
function containerParts(pod: Pod, runtime: PodRuntime, old: PodStatus | undefined, said: StatusFacts): ContainerParts {
  const { spec } = pod
  const facts: PodFacts = { ...said, pod }
  const inits = spec.initContainers ?? []
  const idle = inits.length > 0 && !facts.ended ? initializing : creating
  return {
    initContainerStatuses: statusesOf(inits, old?.initContainerStatuses, runtime, idle, facts, true),
    containerStatuses: statusesOf(spec.containers, old?.containerStatuses, runtime, idle, facts, false).sort(byName),
  }
}

/** Every container has done what it had to: nothing will be started again. Sidecars may still run. */
export function isPodDone(pod: Pod, runtime: PodRuntime, old: PodStatus | undefined, facts: StatusFacts): boolean {
  const { initContainerStatuses, containerStatuses } = containerParts(pod, runtime, old, facts)
  const phase = podPhase(pod.spec, initContainerStatuses, containerStatuses, false)
  return phase === 'Succeeded' || phase === 'Failed'
}

export function computeStatus(
  pod: Pod,
  runtime: PodRuntime,
  old: PodStatus | undefined,
  facts: StatusFacts,
): PodStatus {
  const { spec } = pod
  const { initContainerStatuses, containerStatuses } = containerParts(pod, runtime, old, facts)
  const ephemeral = statusesOf(
    spec.ephemeralContainers ?? [],
    old?.ephemeralContainerStatuses,
    runtime,
    creating,
    { ...facts, pod },
    false,
  )
  const phase = phaseOf(pod, runtime, old, facts, { initContainerStatuses, containerStatuses })
  const settled = old?.phase === phase && (phase === 'Succeeded' || phase === 'Failed')
  const ips = addresses(pod, runtime, old, facts)
  const { hostIPs } = facts
  const failed = facts.failure !== undefined && phase === 'Failed' ? facts.failure : undefined
  const reason = failed?.reason ?? (settled ? old.reason : undefined)
  const message = failed?.message ?? (settled ? old.message : undefined)
  return {
    phase,
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    conditions: podConditions(
      pod,
      runtime,
      { phase, initContainerStatuses, containerStatuses, ...facts.resize, disrupted: facts.disrupted },
      old,
      facts.nowMs,
    ),
    ...(reason ? { reason } : {}),
    ...(message ? { message } : {}),
    ...(hostIPs[0] === undefined ? {} : { hostIP: hostIPs[0], hostIPs: hostIPs.map((ip) => ({ ip })) }),
    ...(ips[0] === undefined ? {} : { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
    startTime: old?.startTime ?? rfc3339(facts.nowMs),
    ...(initContainerStatuses.length === 0 ? {} : { initContainerStatuses }),
    containerStatuses,
    ...(ephemeral.length === 0 ? {} : { ephemeralContainerStatuses: ephemeral }),
    qosClass: qosOf(pod),
  }
}

/** A terminal phase is told only when nothing runs any more, and never changes afterwards. */
function phaseOf(
  { spec }: Pod,
  runtime: PodRuntime,
  old: PodStatus | undefined,
  facts: StatusFacts,
  parts: ContainerParts,
): string {
  if (old?.phase === 'Succeeded' || old?.phase === 'Failed') return old.phase
  const computed = podPhase(spec, parts.initContainerStatuses, parts.containerStatuses, facts.ended)
  const wanted = facts.failure === undefined ? computed : 'Failed'
  if (wanted !== 'Succeeded' && wanted !== 'Failed') return wanted
  const running = runtime.containers.some((c) => c.state === 'running')
  return running ? (old?.phase ?? 'Running') : wanted
}
