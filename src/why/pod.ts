// Why a pod is as it is: waiting for a node, for its containers, failed, evicted or on its way out.
import { type Node, nodes } from '../api/core/node.ts'
import type { Event } from '../api/core/event.ts'
import type { Pod } from '../api/core/pod.ts'
import { advice, type Cause, cause, type Finding, type Remedy, sortedRemedies, well } from './answer.ts'
import { type ContainerFacts, crashed, explainContainers, explainRestarts, restartedLately } from './containers.ts'
import { eventsOf, eventsOfNode, lastSeen, lastWords, look, newest, type Reader, since } from './reader.ts'
import type { SchedulingAnswer } from './scheduling-advice.ts'
import { explainClaimsOf } from './storage.ts'
import { terminatingPod } from './terminating.ts'

export const conditionOf = (pod: Pod, name: string) => pod.status.conditions?.find(({ type }) => type === name)
const notFound = (found: Node | undefined | 'hidden'): Node | undefined => (found === 'hidden' ? undefined : found)

/** Nodes that are refused for the same reasons, one line each; names only where they are few. */
function nodeCauses({ nodes: answers }: SchedulingAnswer): readonly Cause[] {
  const groups = new Map<string, string[]>()
  for (const { node, refusals } of answers) {
    if (refusals.length === 0) continue
    const why = refusals.map(({ plugin, reasons }) => `${reasons.join(', ')} (${plugin})`).join('; ')
    groups.set(why, [...(groups.get(why) ?? []), node])
  }
  return [...groups].map(([why, names]) => {
    const [first = ''] = names
    const about = names.length === 1 ? `node/${first}` : `${names.length} nodes`
    const some = names.length === 1 ? '' : `${names.slice(0, 5).join(', ')}${names.length > 5 ? ', ...' : ''}: `
    return cause(about, 'Refused', `${some}${why}`)
  })
}

function waitsInQueue(reader: Reader, pod: Pod, answer: SchedulingAnswer): Finding {
  const about = `pod/${pod.metadata.name}`
  const where = reader.advice?.whereabouts(pod.metadata.uid)
  const text =
    where === 'backoff'
      ? 'it waits for its next try after a failed one'
      : where === 'binding'
        ? 'a node is chosen, the binding is under way'
        : 'its turn in the queue has not come yet'
  const room = `${text}; it fits on ${answer.fits.slice(0, 5).join(', ')}${answer.fits.length > 5 ? ', ...' : ''}`
  return { state: 'Pending', causes: [cause(about, 'Queued', room)], scheduling: answer, suggestions: [] }
}

async function unscheduled(reader: Reader, pod: Pod): Promise<Finding> {
  const about = `pod/${pod.metadata.name}`
  const condition = conditionOf(pod, 'PodScheduled')
  const claims = await explainClaimsOf(reader, pod)
  const gates = pod.spec.schedulingGates ?? []
  if (gates.length > 0) {
    const names = gates.map(({ name }) => name).join(', ')
    const held = cause(about, 'SchedulingGated', `the scheduling gates ${names} keep it from being scheduled`)
    return {
      state: 'Pending',
      causes: [held],
      suggestions: [advice(`remove the scheduling gates ${names}: whoever set them should`)],
    }
  }
  const answer = reader.advice?.explain(pod)
  if (answer === undefined) {
    const name = pod.spec.schedulerName
    const text =
      condition?.message ??
      (reader.advice === undefined
        ? 'no scheduler has said anything about it'
        : `it asks for the scheduler "${name}", and none of that name runs here`)
    const suggestions =
      reader.advice === undefined || condition !== undefined
        ? []
        : [advice(`start the scheduler "${name}", or name one that runs (default-scheduler)`)]
    return {
      state: 'Pending',
      causes: [cause(about, condition?.reason ?? 'NoScheduler', text, claims.causes)],
      suggestions,
    }
  }
  if (answer.fits.length > 0 && answer.preFilter === undefined) return waitsInQueue(reader, pod, answer)
  const because = [...claims.causes, ...nodeCauses(answer)]
  const nominated = pod.status.nominatedNodeName
  if (nominated)
    because.unshift(
      cause(
        `node/${nominated}`,
        'Preempting',
        'pods of lower priority are on their way out of it, then this one takes its place',
      ),
    )
  const tried = (reader.advice?.suggest(pod) ?? []).map(({ steps, node }): Remedy => ({ steps, node, tried: true }))
  if (answer.nodes.length === 0 && answer.preFilter === undefined)
    tried.push({ ...advice('add a node: the cluster has none') })
  return {
    state: 'Pending',
    causes: [cause(about, 'Unschedulable', answer.message, because)],
    scheduling: answer,
    suggestions: [...claims.suggestions, ...tried],
  }
}

/** Why the node of a pod does not answer; undefined where it does. */
export function nodeTrouble(name: string, node: Node | undefined): Cause | undefined {
  if (node === undefined) return cause(`node/${name}`, 'NotFound', 'the node does not exist')
  const ready = node.status.conditions?.find(({ type }) => type === 'Ready')
  if (ready?.status === 'True') return undefined
  return cause(`node/${name}`, ready?.reason ?? 'NodeNotReady', ready?.message ?? 'the node has never reported')
}

function readinessGates(pod: Pod): readonly Cause[] {
  return (pod.spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const condition = conditionOf(pod, conditionType)
    if (condition?.status === 'True') return []
    const text =
      condition === undefined
        ? 'nobody has set this condition'
        : `it is ${condition.status}: ${condition.message ?? ''}`
    return cause(`readiness gate ${conditionType}`, 'ReadinessGate', text)
  })
}

/** A pod that ended without success. */
function failed(
  reader: Reader,
  pod: Pod,
  events: readonly Event[],
  words: ReadonlyMap<string, readonly string[]>,
): Finding {
  const { reason = '', message = '' } = pod.status
  const about = `pod/${pod.metadata.name}`
  const disruption = conditionOf(pod, 'DisruptionTarget')
  const disrupted =
    disruption?.status === 'True'
      ? [cause(about, disruption.reason ?? 'DisruptionTarget', disruption.message ?? '')]
      : []
  if (reason === 'Evicted') {
    const resource = /low on resource: ([\w-]+)/.exec(message)?.[1]
    const remedy =
      resource === undefined
        ? advice('request as much as the pod uses, or raise the limit that the message names')
        : advice(`request as much ${resource} as the pod uses, or free some on node ${pod.spec.nodeName}`)
    return { state: 'Evicted', causes: [cause(about, 'Evicted', message, disrupted)], suggestions: [remedy] }
  }
  const found = explainContainers({ pod, events, words })
  const because = [...disrupted, ...found.map((one) => one.cause)]
  const ago = since(reader, conditionOf(pod, 'ContainersReady')?.lastTransitionTime)
  const text =
    message === '' ? `its containers have ended, ${ago} ago, and restartPolicy is ${pod.spec.restartPolicy}` : message
  return {
    state: 'Failed',
    causes: [cause(about, reason === '' ? 'Failed' : reason, text, because)],
    suggestions: found.flatMap(({ remedies }) => remedies),
  }
}

function onNode(
  pod: Pod,
  node: Node | undefined,
  events: readonly Event[],
  words: ReadonlyMap<string, readonly string[]>,
): Finding {
  const { status, spec } = pod
  const trouble = nodeTrouble(spec.nodeName ?? '', node)
  const found = explainContainers({ pod, events, words })
  const looping = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])].find(
    ({ state }) => state?.waiting?.reason === 'CrashLoopBackOff',
  )
  const running = status.phase === 'Running'
  const state = looping === undefined ? (running ? 'Running, not Ready' : 'Pending') : 'CrashLoopBackOff'
  const causes = [...(trouble === undefined ? [] : [trouble]), ...found.map((one) => one.cause), ...readinessGates(pod)]
  if (causes.length === 0) {
    const event = events.find(({ type }) => type === 'Warning')
    const [reason, message] = [event?.reason ?? 'ContainerCreating', event?.message ?? 'the node prepares the pod']
    causes.push(cause(`node/${spec.nodeName}`, reason, message))
  }
  const claims =
    trouble === undefined
      ? []
      : [advice(`bring the node ${spec.nodeName} back; pods of controllers are replaced elsewhere`)]
  return { state, causes, suggestions: [...claims, ...found.flatMap(({ remedies }) => remedies)] }
}

/** That the node's agent, or the machine, started after the pod had: what ran before has ended with it. */
async function startOf(reader: Reader, pod: Pod, node: Node | undefined): Promise<ContainerFacts['nodeStart']> {
  if (node === undefined) return undefined
  const about = `node/${node.metadata.name}`
  const found = (await eventsOfNode(reader, node.metadata.name)).filter(
    (event) => lastSeen(event) > (pod.status.startTime ?? ''),
  )
  const rebooted = newest(found, 'Rebooted')
  const started = newest(found, 'Starting')
  const event = rebooted ?? started
  if (event === undefined) return undefined
  const atMs = Date.parse(lastSeen(event))
  if (event === rebooted) return { atMs, cause: cause(about, 'Rebooted', event.message ?? '') }
  const text = `the node agent started at ${lastSeen(event)}: cox, or the machine, had been stopped before`
  return { atMs, cause: cause(about, 'NodeRestarted', text) }
}

async function ready(reader: Reader, pod: Pod, node: Node | undefined): Promise<Finding> {
  const restarted = restartedLately(pod, reader.nowMs)
  if (restarted.length === 0) return well('Running and Ready')
  const words = new Map<string, readonly string[]>()
  for (const { name } of restarted) words.set(name, await lastWords(reader, pod, name))
  const nodeStart = await startOf(reader, pod, node)
  const found = explainRestarts({ pod, events: [], words, nodeStart }, restarted)
  return {
    state: 'Running and Ready, after a restart',
    causes: found.map((one) => one.cause),
    suggestions: sortedRemedies(found.flatMap(({ remedies }) => remedies)),
  }
}

/** Reads what the pod's state depends on and explains it. */
export async function explainPod(reader: Reader, pod: Pod): Promise<Finding> {
  const { spec, status, metadata } = pod
  const node = spec.nodeName ? notFound(await look(reader, nodes, spec.nodeName)) : undefined
  if (metadata.deletionTimestamp !== undefined) {
    const events = await eventsOf(reader, pod)
    const { causes, remedies } = terminatingPod(pod, node, events, reader.nowMs)
    return { state: 'Terminating', causes, suggestions: remedies }
  }
  if (status.phase === 'Succeeded') return well('Succeeded')
  if (!spec.nodeName) {
    const found = status.phase === 'Failed' ? failed(reader, pod, [], new Map()) : await unscheduled(reader, pod)
    return { ...found, suggestions: sortedRemedies(found.suggestions) }
  }
  if (status.phase !== 'Failed' && conditionOf(pod, 'Ready')?.status === 'True') return ready(reader, pod, node)
  const events = await eventsOf(reader, pod)
  const words = new Map<string, readonly string[]>()
  for (const name of crashed(pod)) words.set(name, await lastWords(reader, pod, name))
  const found = status.phase === 'Failed' ? failed(reader, pod, events, words) : onNode(pod, node, events, words)
  const claims = status.phase === 'Pending' ? await explainClaimsOf(reader, pod) : { causes: [], suggestions: [] }
  return {
    ...found,
    causes: [...found.causes, ...claims.causes],
    suggestions: sortedRemedies([...claims.suggestions, ...found.suggestions]),
  }
}
