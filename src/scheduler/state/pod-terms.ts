// Which pods a term is about, and how terms are told apart: equal terms of different pods have equal keys and share one
// count, so that a thousand replicas of one template cost as much as one.
import type { PodAffinityTerm } from '../../api/core/affinity.ts'
import type { Pod } from '../../api/core/pod.ts'
import {
  exactMatches,
  formatSelector,
  type Labels,
  matchesRequirement,
  type Requirement,
  type Selector,
  selectorOf,
} from '../../api/machinery/labels.ts'
import type { LabelSelector } from '../../api/machinery/meta.ts'

export type LabelPredicate = (labels: Labels | undefined) => boolean
const never: LabelPredicate = () => false
const always: LabelPredicate = () => true

/** A selector as a function; equality, by far the most frequent, is one comparison. */
export function compileSelector(selector: Selector | undefined): LabelPredicate {
  if (selector === undefined) return never
  const [first, ...rest] = selector.map(compileRequirement)
  if (first === undefined) return always
  if (rest.length === 0) return first
  return (labels) => first(labels) && rest.every((holds) => holds(labels))
}
function compileRequirement(requirement: Requirement): LabelPredicate {
  const { key, operator, values } = requirement
  const [value] = values
  if ((operator === '=' || operator === '==' || operator === 'in') && values.length === 1)
    return (labels) => labels !== undefined && labels[key] === value
  return (labels) => matchesRequirement(requirement, labels)
}

/** A set of pods: by namespace and by labels. */
export interface PodSet {
  readonly key: string
  /** Names of namespaces; used where no namespace selector is given, or beside it. */
  readonly namespaces: ReadonlySet<string>
  /** Undefined where only `namespaces` count. */
  readonly namespaceMatches: LabelPredicate | undefined
  readonly labelsMatch: LabelPredicate
  /** A label that every member has: the way to find this set from a pod. */
  readonly hook: readonly [key: string, value: string] | undefined
}

export function podSetOf(
  namespaces: readonly string[],
  namespaceSelector: LabelSelector | undefined,
  selector: Selector | undefined,
): PodSet {
  const byNamespace = selectorOf(namespaceSelector)
  const namespaceKey = byNamespace === undefined ? '' : `{${formatSelector(byNamespace)}}`
  return {
    key: `${[...namespaces].sort().join(',')}${namespaceKey}|${selector === undefined ? '-' : formatSelector(selector)}`,
    namespaces: new Set(namespaces),
    namespaceMatches: byNamespace === undefined ? undefined : compileSelector(byNamespace),
    labelsMatch: compileSelector(selector),
    hook: selector === undefined ? undefined : exactMatches(selector)[0],
  }
}

/** How the labels of a namespace are found. */
export type NamespaceLabels = (namespace: string) => Labels | undefined

export function isMember(
  set: PodSet,
  namespace: string,
  labels: Labels | undefined,
  namespaceLabels: NamespaceLabels,
): boolean {
  if (!set.labelsMatch(labels)) return false
  if (set.namespaces.has(namespace)) return true
  return set.namespaceMatches?.(namespaceLabels(namespace)) ?? false
}

/** One term of pod affinity or anti-affinity. */
export interface Term {
  readonly topologyKey: string
  readonly set: PodSet
  /** 1 for required terms. */
  readonly weight: number
}
export interface Terms {
  readonly requiredAffinity: readonly Term[]
  readonly requiredAntiAffinity: readonly Term[]
  readonly preferredAffinity: readonly Term[]
  readonly preferredAntiAffinity: readonly Term[]
}

function withLabelKeys(selector: LabelSelector | undefined, term: PodAffinityTerm, labels: Labels | undefined) {
  const requirements = selectorOf(selector)
  if (requirements === undefined) return undefined
  const added: Requirement[] = []
  const more = (keys: readonly string[] | undefined, operator: 'in' | 'notin') => {
    for (const key of keys ?? []) {
      const value = labels?.[key]
      const known = requirements.some((r) => r.key === key && r.operator === operator && r.values.includes(value ?? ''))
      if (value !== undefined && !known) added.push({ key, operator, values: [value] })
    }
  }
  more(term.matchLabelKeys, 'in')
  more(term.mismatchLabelKeys, 'notin')
  return [...requirements, ...added]
}
function termOf(pod: Pod, term: PodAffinityTerm, weight: number): Term {
  const own = (term.namespaces?.length ?? 0) === 0 && term.namespaceSelector === undefined
  const namespaces = own ? [pod.metadata.namespace ?? ''] : (term.namespaces ?? [])
  const selector = withLabelKeys(term.labelSelector, term, pod.metadata.labels)
  return { topologyKey: term.topologyKey, set: podSetOf(namespaces, term.namespaceSelector, selector), weight }
}

/** Undefined for a pod without pod (anti-)affinity. */
export function termsOf(pod: Pod): Terms | undefined {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {}
  if (podAffinity === undefined && podAntiAffinity === undefined) return undefined
  const required = (affinity: typeof podAffinity) =>
    (affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map((term) => termOf(pod, term, 1))
  const preferred = (affinity: typeof podAffinity) =>
    (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) =>
      termOf(pod, podAffinityTerm, weight),
    )
  return {
    requiredAffinity: required(podAffinity),
    requiredAntiAffinity: required(podAntiAffinity),
    preferredAffinity: preferred(podAffinity),
    preferredAntiAffinity: preferred(podAntiAffinity),
  }
}
