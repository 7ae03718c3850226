// Why a workload has not what it asks for: its own conditions first, then its pods, each kind of trouble told once.
import { type Pod, pods } from '../api/core/pod.ts'
import { formatSelector, selectorOf } from '../api/machinery/labels.ts'
import type { KubeObject, LabelSelector } from '../api/machinery/meta.ts'
import { advice, type Cause, cause, type Finding, type Remedy, sortedRemedies, well } from './answer.ts'
import { conditionOf, explainPod } from './pod.ts'
import { eventsOf, listed, newest, type Reader } from './reader.ts'

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason?: string | undefined
  readonly message?: string | undefined
}
export interface Workload {
  readonly object: KubeObject
  /** As users name it: deployment/web. */
  readonly about: string
  /** Wished and ready pods. */
  readonly wanted: number
  readonly ready: number
  readonly selector: LabelSelector | undefined
  readonly conditions: readonly Condition[]
  /** What stands in the way besides pods. */
  readonly own: readonly Cause[]
  readonly remedies: readonly Remedy[]
}

/** As many pods are looked into; a thousand that fail alike teach nothing more. */
const podsLookedInto = 20

/** The conditions that say that something is wrong. */
function badConditions(about: string, conditions: readonly Condition[]): readonly Cause[] {
  const bad = conditions.filter(
    ({ type, status }) =>
      (['ReplicaFailure', 'Failed', 'FailureTarget', 'Suspended'].includes(type) && status === 'True') ||
      (['Progressing'].includes(type) && status === 'False'),
  )
  return bad.map(({ type, reason, message }) => cause(about, reason || type, message ?? ''))
}
const quotaRemedies = (causes: readonly Cause[]): readonly Remedy[] =>
  causes.some(({ message }) => message.includes('exceeded quota'))
    ? [advice('raise the ResourceQuota that the message names, or ask for less')]
    : []

const isFine = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  (pod.status.phase === 'Succeeded' || conditionOf(pod, 'Ready')?.status === 'True')

/** The troubles of pods, each told once, with the names of those that share it. */
export async function troubles(
  reader: Reader,
  all: readonly Pod[],
): Promise<{ readonly causes: readonly Cause[]; readonly remedies: readonly Remedy[]; readonly fine: number }> {
  const groups = new Map<string, { readonly names: string[]; readonly finding: Finding }>()
  const remedies: Remedy[] = []
  for (const pod of all.filter((one) => !isFine(one)).slice(0, podsLookedInto)) {
    const finding = await explainPod(reader, pod)
    if (finding.causes.length === 0) continue
    const key = JSON.stringify(finding.causes).replaceAll(pod.metadata.name, 'POD').replaceAll(pod.metadata.uid, 'UID')
    const known = groups.get(key)
    if (known === undefined) {
      groups.set(key, { names: [pod.metadata.name], finding })
      remedies.push(...finding.suggestions)
    } else known.names.push(pod.metadata.name)
  }
  const causes = [...groups.values()].map(({ names, finding }) => {
    const [first = ''] = names
    const others =
      names.length === 1
        ? ''
        : `; so are ${names.length - 1} more (${names.slice(1, 4).join(', ')}${names.length > 4 ? ', ...' : ''})`
    return cause(`pod/${first}`, finding.state, `it is ${finding.state}${others}`, finding.causes)
  })
  return { causes, remedies, fine: all.filter(isFine).length }
}

export async function explainWorkload(reader: Reader, workload: Workload): Promise<Finding> {
  const { object, about, wanted, ready, selector, conditions, own } = workload
  const { namespace = '' } = object.metadata
  const parsed = selectorOf(selector)
  const mine =
    parsed === undefined ? [] : await listed(reader, pods, { namespace, labelSelector: formatSelector(parsed) })
  const found = await troubles(reader, mine)
  const told = badConditions(about, conditions)
  const events = await eventsOf(reader, object)
  const create = told.length > 0 ? undefined : newest(events, 'FailedCreate', 'FailedDelete')
  const refused =
    create === undefined || ready >= wanted ? [] : [cause(about, create.reason ?? '', create.message ?? '')]
  const causes = [...own, ...told, ...refused, ...found.causes]
  if (causes.length === 0) {
    if (ready >= wanted) return well(`${ready} of ${wanted} pods are ready`)
    causes.push(
      cause(
        about,
        'Progressing',
        `${mine.length} of ${wanted} pods exist, ${ready} are ready; its controller works on it`,
      ),
    )
  }
  return {
    state: `${ready} of ${wanted} pods are ready`,
    causes,
    suggestions: sortedRemedies([...workload.remedies, ...quotaRemedies(causes), ...found.remedies]),
  }
}
