// What to do for a pod, decided from its spec and from what the runtime says, without doing it. A container counts as run
// only in the current sandbox: when the sandbox is new, init containers run again.
import type { ContainerStatus, SandboxStatus } from '../ports/container-runtime.ts'
import { containerHash, containerNameOf, hashOf } from './labels.ts'
import { type AnyContainer, type Container, isHostNetwork, isSidecar, type Pod } from './types.ts'

/** All that the runtime knows of a pod; both newest first. */
export interface PodRuntime {
  readonly sandboxes: readonly SandboxStatus[]
  readonly containers: readonly ContainerStatus[]
}
export const nothingRuns: PodRuntime = { sandboxes: [], containers: [] }

/** What probes say of a running container, by its id. */
export interface ProbeFacts {
  /** A probe has failed for good: the container is to be killed. */
  failed(containerId: string): 'liveness' | 'startup' | undefined
  /** The startup probe has succeeded, or there is none. */
  started(containerId: string): boolean
}

export interface Start {
  readonly container: AnyContainer
  readonly kind: 'init' | 'app' | 'ephemeral'
  /** The newest run of the same container, in whatever sandbox. */
  readonly previous: ContainerStatus | undefined
}
export interface Kill {
  readonly status: ContainerStatus
  readonly container: AnyContainer
  readonly because: 'changed' | 'liveness' | 'startup' | 'unknown'
  /** Of the Killing event. */
  readonly message: string
}
export interface Plan {
  /** Everything of older sandboxes must be stopped first. */
  readonly killSandboxes: boolean
  /** Undefined: the current sandbox serves, or none is wanted. */
  readonly createSandbox: { readonly attempt: number } | undefined
  readonly sandbox: SandboxStatus | undefined
  readonly kill: readonly Kill[]
  /** In order; a container is not started before the one in front of it has been. */
  readonly start: readonly Start[]
}

/** The newest run of a container; with a sandbox, its newest run there. */
export function newestRun(runtime: PodRuntime, name: string, sandboxId?: string): ContainerStatus | undefined {
  return runtime.containers.find(
    (c) => containerNameOf(c) === name && (sandboxId === undefined || c.sandboxId === sandboxId),
  )
}

type RestartRule = NonNullable<Container['restartPolicyRules']>[number]
function matches(rule: RestartRule, exitCode: number): boolean {
  const listed = rule.exitCodes?.values?.includes(exitCode) === true
  return rule.exitCodes?.operator === 'NotIn' ? !listed : listed
}
/** Whether a container that ended is started again: its own rules, its own policy, the pod's policy (KEP-5307). */
export function shouldRestart(pod: Pod, container: AnyContainer, exitCode: number): boolean {
  if ('targetContainerName' in container || pod.spec.ephemeralContainers?.includes(container as never)) return false
  const own = container as Container
  for (const rule of own.restartPolicyRules ?? []) if (matches(rule, exitCode)) return true
  const policy = own.restartPolicy ?? pod.spec.restartPolicy ?? 'Always'
  // An init container runs to success, so Always means OnFailure for it.
  if (policy === 'Always') return !isRegularInit(pod, own) || exitCode !== 0
  return policy === 'OnFailure' && exitCode !== 0
}
const isRegularInit = (pod: Pod, container: Container): boolean =>
  !isSidecar(container) && pod.spec.initContainers?.includes(container) === true

/** Why the newest sandbox cannot serve, or undefined when it can. */
function sandboxTrouble(pod: Pod, runtime: PodRuntime): string | undefined {
  const [newest] = runtime.sandboxes
  if (newest === undefined) return 'none'
  if (!newest.ready) return 'dead'
  if (runtime.sandboxes.filter((s) => s.ready).length > 1) return 'several'
  const onHost = newest.namespaces.network === 'node'
  if (onHost !== isHostNetwork(pod)) return 'network changed'
  if (!onHost && newest.ips.length === 0) return 'no address'
  return undefined
}

export function planPod(pod: Pod, runtime: PodRuntime, probes: ProbeFacts): Plan {
  if (sandboxTrouble(pod, runtime) !== undefined) return planNewSandbox(pod, runtime)
  const sandbox = runtime.sandboxes[0] as SandboxStatus
  const kill: Kill[] = []
  const start: Start[] = []
  for (const container of pod.spec.ephemeralContainers ?? [])
    if (newestRun(runtime, container.name) === undefined)
      start.push({ container, kind: 'ephemeral', previous: undefined })
  const initialized = planInit(pod, runtime, sandbox.id, probes, kill, start)
  if (initialized)
    for (const container of pod.spec.containers) planApp(pod, container, runtime, sandbox.id, probes, kill, start)
  return { killSandboxes: false, createSandbox: undefined, sandbox, kill, start }
}

function planNewSandbox(pod: Pod, runtime: PodRuntime): Plan {
  const [newest] = runtime.sandboxes
  const attempt = newest === undefined ? 0 : newest.metadata.attempt + 1
  const killSandboxes =
    runtime.sandboxes.some((s) => s.ready) ||
    runtime.containers.some((c) => c.state === 'running' || c.state === 'unknown')
  const nothing: Plan = { killSandboxes, createSandbox: undefined, sandbox: undefined, kill: [], start: [] }
  const wanted = pod.spec.containers.filter((container) => {
    const last = newestRun(runtime, container.name)
    if (last === undefined) return true
    // What was running died with its sandbox, by a signal.
    return shouldRestart(pod, container, last.state === 'exited' ? last.exitCode : 137)
  })
  if (wanted.length === 0) return nothing
  const everRan = runtime.containers.length > 0
  const mayRestart = pod.spec.restartPolicy !== 'Never' || wanted.some((c) => c.restartPolicy ?? c.restartPolicyRules)
  if (attempt !== 0 && everRan && !mayRestart) return nothing
  const [firstInit] = pod.spec.initContainers ?? []
  const first: Start[] =
    firstInit !== undefined
      ? [{ container: firstInit, kind: 'init', previous: newestRun(runtime, firstInit.name) }]
      : wanted.map((container) => ({ container, kind: 'app', previous: newestRun(runtime, container.name) }))
  return { killSandboxes, createSandbox: { attempt }, sandbox: undefined, kill: [], start: first }
}

/** What must end although it runs. */
function killOf(container: AnyContainer, status: ContainerStatus, probes: ProbeFacts): Kill | undefined {
  const { name } = container
  if (hashOf(status) !== containerHash(container))
    return { status, container, because: 'changed', message: `Container ${name} definition changed, will be restarted` }
  const failed = probes.failed(status.id)
  if (failed === undefined) return undefined
  return { status, container, because: failed, message: `Container ${name} failed ${failed} probe, will be restarted` }
}
/** The runtime has lost sight of a run, which may be over: it is killed, and started again at once only where that happens
 * whatever its exit code is. Else the code decides, which is known when it has been killed. */
function planUnknown(pod: Pod, again: Start, status: ContainerStatus, kill: Kill[], start: Start[]): void {
  const container = again.container as Container
  const message = `Container ${container.name} is in unknown state, try killing it before restart`
  kill.push({ status, container, because: 'unknown', message })
  if (shouldRestart(pod, container, 0) && shouldRestart(pod, container, 137)) start.push(again)
}

/** Goes through the init containers in order and stops at the first that has to be waited for. Answers whether the app
 * containers may run. */
function planInit(
  pod: Pod,
  runtime: PodRuntime,
  sandboxId: string,
  probes: ProbeFacts,
  kill: Kill[],
  start: Start[],
): boolean {
  const initialized = pod.spec.containers.some((c) => newestRun(runtime, c.name, sandboxId) !== undefined)
  for (const container of pod.spec.initContainers ?? []) {
    const sidecar = isSidecar(container)
    if (initialized && !sidecar) continue
    const status = newestRun(runtime, container.name, sandboxId)
    const previous = newestRun(runtime, container.name)
    const again: Start = { container, kind: 'init', previous }
    if (status === undefined || status.state === 'created') start.push(again)
    else if (status.state === 'unknown') planUnknown(pod, again, status, kill, start)
    else if (status.state === 'running') {
      const ending = killOf(container, status, probes)
      if (ending !== undefined) kill.push(ending)
      if (ending !== undefined) start.push(again)
      else if (sidecar && probes.started(status.id)) continue
    } else if (status.exitCode === 0 && !sidecar) continue
    else if (shouldRestart(pod, container, status.exitCode)) start.push(again)
    // A sidecar that is being restarted holds up nothing once the pod is initialised.
    if (!initialized) return false
  }
  return true
}

function planApp(
  pod: Pod,
  container: Container,
  runtime: PodRuntime,
  sandboxId: string,
  probes: ProbeFacts,
  kill: Kill[],
  start: Start[],
): void {
  const status = newestRun(runtime, container.name)
  const again: Start = { container, kind: 'app', previous: status }
  if (status === undefined || status.state === 'created') start.push(again)
  else if (status.state === 'unknown') planUnknown(pod, again, status, kill, start)
  else if (status.state === 'running' && status.sandboxId === sandboxId) {
    const ending = killOf(container, status, probes)
    if (ending === undefined) return
    kill.push(ending)
    if (ending.because === 'changed' || shouldRestart(pod, container, 137)) start.push(again)
  } else if (shouldRestart(pod, container, status.state === 'exited' ? status.exitCode : 137)) start.push(again)
}
