// Why a container is not running, or runs and is not ready: pure, from the pod's spec and status and its events.
import type { Container } from '../api/core/container.ts'
import type { ContainerStateTerminated, ContainerStatus } from '../api/core/container-status.ts'
import type { Event } from '../api/core/event.ts'
import type { Pod } from '../api/core/pod.ts'
import { advice, type Cause, cause, type Remedy } from './answer.ts'
import { newest } from './reader.ts'

export interface ContainerFacts {
  readonly pod: Pod
  readonly events: readonly Event[]
  /** Last lines of the log of the run that ended, by container. */
  readonly words: ReadonlyMap<string, readonly string[]>
  /** That the node started anew while the pod was there, and when (ms since 1970). */
  readonly nodeStart?: { readonly atMs: number; readonly cause: Cause } | undefined
}
interface Found {
  readonly cause: Cause
  readonly remedies: readonly Remedy[]
}

const aboutOf = (name: string) => `container ${name}`
const endHints: Readonly<Record<number, string>> = {
  126: 'the command cannot be executed (no permission, or not a program)',
  127: 'the command was not found in the image',
  137: 'it was killed (signal 9)',
  139: 'it touched memory that is not its own (signal 11)',
  143: 'it was asked to end (signal 15)',
}

/** The end of a run that the node was not there to see. */
const unseen = 'ContainerStatusUnknown'

function ended(facts: ContainerFacts, spec: Container | undefined, end: ContainerStateTerminated): Found {
  const { pod } = facts
  const { exitCode, reason = '', message = '' } = end
  const words = facts.words.get(spec?.name ?? '') ?? []
  const about = aboutOf(spec?.name ?? '')
  const said = words.length === 0 ? '' : `; its last words: ${words.map((word) => JSON.stringify(word)).join(' ')}`
  if (reason === unseen) {
    const text = `it went away while its node was not watched, so nobody knows its exit code${said}`
    return { cause: cause(about, reason, text), remedies: [] }
  }
  if (reason === 'OOMKilled') {
    const limit = spec?.resources?.limits?.['memory']
    return {
      cause: cause(about, 'OOMKilled', `it needed more memory than ${limit ?? 'the node could give'}${said}`),
      remedies: [advice(`raise the memory limit of container ${spec?.name} (now ${limit ?? 'none'})`)],
    }
  }
  if (exitCode === 0 && pod.spec.restartPolicy === 'Always')
    return {
      cause: cause(
        about,
        'Completed',
        `it ends by itself with exit code 0, and a pod with restartPolicy Always runs on${said}`,
      ),
      remedies: [advice('let the command run on, or use a Job for work that ends')],
    }
  const hint = endHints[exitCode]
  const detail = [hint, message.trim()].filter((part) => part !== undefined && part !== '').join('; ')
  const text = `exit code ${exitCode}${detail === '' ? '' : `: ${detail}`}${said}`
  const fix =
    exitCode === 127 || exitCode === 126 || reason === 'ContainerCannotRun' || reason === 'StartError'
      ? 'correct the command or the image of'
      : 'mend what ends'
  return {
    cause: cause(about, reason || 'Error', text),
    remedies: [advice(`${fix} container ${spec?.name} (cox logs --previous ${pod.metadata.name} shows what it said)`)],
  }
}

function pullRemedies(image: string, message: string): readonly Remedy[] {
  if (/unauthorized|authentication|denied|401|403/i.test(message))
    return [advice(`give the pod imagePullSecrets that may pull ${image}`)]
  return [
    advice(`correct the image name ${image}`),
    advice(`load the image into the node: docker save ${image} | cox image load -`),
  ]
}

function waiting(facts: ContainerFacts, spec: Container | undefined, status: ContainerStatus): Found {
  const { reason = 'ContainerCreating', message = '' } = status.state?.waiting ?? {}
  const about = aboutOf(status.name)
  const image = spec?.image ?? status.image
  switch (reason) {
    case 'CrashLoopBackOff': {
      const end = status.lastState?.terminated
      if (end === undefined) return { cause: cause(about, reason, message), remedies: [] }
      const { events } = facts
      const last = ended(facts, spec, end)
      const killed = events.find(
        (e) => e.reason === 'Killing' && /failed (liveness|startup) probe/.test(e.message ?? ''),
      )
      const probe = newest(events, 'Unhealthy')
      if (killed !== undefined && probe !== undefined)
        return {
          cause: cause(about, reason, `${message}; ${status.restartCount} restarts`, [
            cause(about, 'ProbeFailed', killed.message ?? '', [cause(about, 'Unhealthy', probe.message ?? '')]),
          ]),
          remedies: [
            advice(
              `mend what the probe of container ${status.name} asks for, or give it more time (failureThreshold, a startupProbe)`,
            ),
          ],
        }
      return { ...last, cause: cause(about, reason, `${message}; ${status.restartCount} restarts`, [last.cause]) }
    }
    case 'ErrImagePull':
    case 'ImagePullBackOff':
    case 'ErrImageNeverPull':
    case 'InvalidImageName':
    case 'ImageInspectError': {
      const event = facts.events.find((e) => e.reason === 'Failed' && e.message?.startsWith('Failed to pull image'))
      const detail =
        event?.message === undefined || event.message === message
          ? []
          : [cause(`image ${image}`, 'PullFailed', event.message)]
      return {
        cause: cause(about, reason, message, detail),
        remedies: pullRemedies(image, `${message} ${event?.message ?? ''}`),
      }
    }
    case 'CreateContainerConfigError': {
      const missing = /^(configmap|secret) "([^"]+)" not found/.exec(message)
      const key = /^couldn't find key (\S+) in (ConfigMap|Secret) (?:[^\s/]+\/)?(\S+)/.exec(message)
      if (missing !== null)
        return {
          cause: cause(about, reason, message, [cause(`${missing[1]}/${missing[2]}`, 'NotFound', 'it does not exist')]),
          remedies: [advice(`create the ${missing[1]} ${missing[2]}, or make the reference optional`)],
        }
      if (key !== null)
        return {
          cause: cause(about, reason, message, [
            cause(`${key[2]?.toLowerCase()}/${key[3]}`, 'KeyNotFound', `it has no key ${key[1]}`),
          ]),
          remedies: [advice(`add the key ${key[1]} to the ${key[2]} ${key[3]}, or make the reference optional`)],
        }
      return { cause: cause(about, reason, message), remedies: [] }
    }
    case 'ContainerCreating':
    case 'PodInitializing': {
      const event = newest(
        facts.events,
        'FailedMount',
        'FailedAttachVolume',
        'FailedMapVolume',
        'FailedCreatePodSandBox',
        'FailedPrepareDynamicResources',
      )
      const driver = /DRA driver (\S+) is not registered/.exec(event?.message ?? '')?.[1]
      const because =
        event === undefined ? [] : [cause('volumes, devices and sandbox', event.reason ?? '', event.message ?? '')]
      const missing = /(configmap|secret) "([^"]+)" not found/.exec(event?.message ?? '')
      return {
        cause: cause(about, reason, message === '' ? 'the node prepares it' : message, because),
        remedies: [
          ...(driver === undefined
            ? []
            : [
                advice(
                  `run the driver ${driver} on the node ${facts.pod.spec.nodeName ?? ''}: it registers in the kubelet's folder plugins_registry`,
                ),
              ]),
          ...(missing === null ? [] : [advice(`create the ${missing[1]} ${missing[2]}, or make the volume optional`)]),
        ],
      }
    }
    default:
      return { cause: cause(about, reason, message), remedies: [] }
  }
}

function unready({ events }: ContainerFacts, spec: Container | undefined, status: ContainerStatus): Found {
  const about = aboutOf(status.name)
  const probe = newest(events, 'Unhealthy')?.message
  const because = probe === undefined ? [] : [cause(about, 'Unhealthy', probe)]
  if (spec?.startupProbe !== undefined && status.started !== true)
    return {
      cause: cause(about, 'StartupProbe', 'its startup probe has not succeeded yet', because),
      remedies: [
        advice(`mend what the startup probe of container ${status.name} asks for, or raise its failureThreshold`),
      ],
    }
  if (spec?.readinessProbe !== undefined)
    return {
      cause: cause(about, 'ReadinessProbe', 'its readiness probe does not succeed', because),
      remedies: [advice(`mend what the readiness probe of container ${status.name} asks for`)],
    }
  return {
    cause: cause(about, 'ContainersNotReady', 'it was started and is not reported ready yet', because),
    remedies: [],
  }
}

function explainOne(facts: ContainerFacts, spec: Container | undefined, status: ContainerStatus): Found | undefined {
  const { pod } = facts
  const { state } = status
  if (state?.terminated !== undefined) {
    if (state.terminated.exitCode === 0 && pod.spec.restartPolicy !== 'Always') return undefined
    return ended(facts, spec, state.terminated)
  }
  if (state?.running !== undefined) return status.ready ? undefined : unready(facts, spec, status)
  return waiting(facts, spec, status)
}

const isSidecar = (container: Container): boolean => container.restartPolicy === 'Always'

/** One cause for each container that is not as it shall be; while an init container runs, the others only wait for it. */
export function explainContainers(facts: ContainerFacts): readonly Found[] {
  const { pod } = facts
  const { spec, status } = pod
  for (const init of spec.initContainers ?? []) {
    const own = status.initContainerStatuses?.find(({ name }) => name === init.name)
    if (own === undefined) continue
    const done = isSidecar(init) ? own.started === true : own.state?.terminated?.exitCode === 0
    if (done) continue
    const { containers } = spec
    const others = containers.map(({ name }) => name).join(', ')
    if (own.state?.running !== undefined) {
      const text = `${others} wait until this init container ${isSidecar(init) ? 'has started' : 'has ended'}`
      return [{ cause: cause(aboutOf(init.name), 'InitContainerRuns', text), remedies: [] }]
    }
    const found = explainOne(facts, init, own)
    if (found !== undefined) return [found]
  }
  return (status.containerStatuses ?? []).flatMap((own) => {
    const container = spec.containers.find(({ name }) => name === own.name)
    return explainOne(facts, container, own) ?? []
  })
}

/** A container that ran so long since its last failure is told apart from one that goes on failing: the back-off begins anew too. */
const forgottenMs = 10 * 60_000

/** Containers that run now and ended a short while before: between two crashes a pod looks well. */
export const restartedLately = ({ status }: Pod, nowMs: number): readonly ContainerStatus[] =>
  (status.containerStatuses ?? []).filter(({ state, lastState }) => {
    // where nobody saw the end, the start after it is what is known
    const unknown = lastState?.terminated?.reason === unseen
    const endedAt = lastState?.terminated?.finishedAt ?? (unknown ? state?.running?.startedAt : undefined)
    return state?.running !== undefined && endedAt !== undefined && nowMs - Date.parse(endedAt) < forgottenMs
  })

/** What ended the last run of each of `statuses`. */
export function explainRestarts(facts: ContainerFacts, statuses: readonly ContainerStatus[]): readonly Found[] {
  return statuses.flatMap((status) => {
    const end = status.lastState?.terminated
    if (end === undefined) return []
    const spec = facts.pod.spec.containers.find(({ name }) => name === status.name)
    const last = ended(facts, spec, end)
    const times = status.restartCount === 1 ? 'once' : `${status.restartCount} times`
    const text = `it runs again since ${status.state?.running?.startedAt ?? 'now'}; restarted ${times}`
    const about = aboutOf(status.name)
    const { nodeStart } = facts
    const startedAt = Date.parse(status.state?.running?.startedAt ?? '')
    // the node went away, and the container with it: there is nothing to mend in the container
    if (nodeStart !== undefined && !(nodeStart.atMs < Date.parse(end.finishedAt ?? '')) && nodeStart.atMs <= startedAt)
      return [{ cause: cause(about, 'Restarted', text, [nodeStart.cause, last.cause]), remedies: [] }]
    return [{ ...last, cause: cause(about, 'Restarted', text, [last.cause]) }]
  })
}

/** Containers whose end is part of the story: their last words are worth reading. */
export const crashed = ({ status }: Pod): readonly string[] =>
  [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]
    .filter(({ state, lastState, ready }) => {
      const end =
        state?.terminated ?? (state?.waiting?.reason === 'CrashLoopBackOff' ? lastState?.terminated : undefined)
      return !ready && end !== undefined && end.exitCode !== 0
    })
    .map(({ name }) => name)
