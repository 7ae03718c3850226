// The phase of a pod from the states of its containers.
import { type ApiContainerStatus, isSidecar, type PodSpec } from './types.ts'

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed'
type Statuses = readonly ApiContainerStatus[]
const find = (statuses: Statuses, name: string) => statuses.find((s) => s.name === name)

interface InitProgress {
  readonly pending: boolean
  readonly failed: boolean
}
function initProgress(spec: PodSpec, statuses: Statuses): InitProgress {
  let pending = false
  let failed = false
  for (const container of spec.initContainers ?? []) {
    const status = find(statuses, container.name)
    const { state, lastState } = status ?? {}
    if (isSidecar(container)) {
      if (status?.started !== true && state?.terminated === undefined) pending = true
      continue
    }
    if (state?.terminated?.exitCode === 0) continue
    if (state?.terminated !== undefined) {
      failed = true
      if (container.restartPolicy !== 'Never' && spec.restartPolicy !== 'Never') pending = true
    } else {
      pending = true
      if (state?.waiting !== undefined && (lastState?.terminated?.exitCode ?? 0) !== 0) failed = true
    }
  }
  return { pending, failed }
}

/** `ended`: nothing will be started any more (deleted, evicted, done). */
export function podPhase(spec: PodSpec, initStatuses: Statuses, statuses: Statuses, ended: boolean): Phase {
  const init = initProgress(spec, initStatuses)
  let waiting = 0
  let running = 0
  let stopped = 0
  let succeeded = 0
  let restartable = 0
  for (const container of spec.containers) {
    const { state, lastState } = find(statuses, container.name) ?? {}
    if (state?.running !== undefined) running++
    else if (state?.terminated !== undefined) {
      stopped++
      if (state.terminated.exitCode === 0) succeeded++
      if (restarts(spec, container, state.terminated.exitCode)) restartable++
    } else if (lastState?.terminated !== undefined) {
      stopped++
      restartable++
    } else waiting++
  }
  if (init.failed && spec.restartPolicy === 'Never' && !init.pending) return 'Failed'
  const appsBegan = running + stopped > 0
  if (init.pending && !appsBegan) return ended ? 'Failed' : 'Pending'
  if (waiting > 0) return ended ? 'Failed' : 'Pending'
  if (running > 0) return 'Running'
  if (restartable > 0 && !ended) return 'Running'
  return stopped === succeeded ? 'Succeeded' : 'Failed'
}

/** The same rule as planPod's shouldRestart, over the spec alone. */
function restarts(spec: PodSpec, container: PodSpec['containers'][number], exitCode: number): boolean {
  for (const { exitCodes } of container.restartPolicyRules ?? []) {
    const listed = exitCodes?.values?.includes(exitCode) === true
    if (exitCodes?.operator === 'NotIn' ? !listed : listed) return true
  }
  const policy = container.restartPolicy ?? spec.restartPolicy ?? 'Always'
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0)
}
