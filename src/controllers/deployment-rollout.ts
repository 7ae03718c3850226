// What a Deployment does next, as pure decisions over its ReplicaSets: one step at a time, so that availability never
// falls below the wish and the total never rises above it. Sizes that decide are those of the specs, not of the status.
import { semanticEqual } from '../api/machinery/equal.ts'
import { scaledValue } from '../api/machinery/int-or-string.ts'
import { parseTime } from '../api/machinery/time.ts'
import type { Deployment } from '../api/apps/deployment.ts'
import type { ReplicaSet } from '../api/apps/replica-set.ts'
import type { PodTemplateSpec } from '../api/core/pod-template.ts'

export const revisionAnnotation = 'deployment.kubernetes.io/revision'
export const revisionHistoryAnnotation = 'deployment.kubernetes.io/revision-history'
export const desiredReplicasAnnotation = 'deployment.kubernetes.io/desired-replicas'
export const maxReplicasAnnotation = 'deployment.kubernetes.io/max-replicas'
export const rollbackToAnnotation = 'deprecated.deployment.rollback.to'
export const templateHashLabel = 'pod-template-hash'
const lastAppliedAnnotation = 'kubectl.kubernetes.io/last-applied-configuration'
/** Annotations that belong to one object and are not handed down to ReplicaSets. */
const ownAnnotations: ReadonlySet<string> = new Set([
  lastAppliedAnnotation,
  revisionAnnotation,
  revisionHistoryAnnotation,
  desiredReplicasAnnotation,
  maxReplicasAnnotation,
  rollbackToAnnotation,
])
const revisionHistoryLimitChars = 2000

/** A Deployment with its ReplicaSets: `current` has the Deployment's template, `old` are all others, oldest first. */
export interface Rollout {
  readonly deployment: Deployment
  readonly current: ReplicaSet | undefined
  readonly old: readonly ReplicaSet[]
}
export type RolloutStep =
  /** Create the ReplicaSet of the current template. */
  | { readonly type: 'create'; readonly replicas: number }
  | { readonly type: 'scale'; readonly set: ReplicaSet; readonly replicas: number }
  | { readonly type: 'delete'; readonly set: ReplicaSet }

/** The wished size of a ReplicaSet and of a Deployment. */
export const sizeOf = (set: ReplicaSet): number => set.spec.replicas ?? 1
export const wishOf = (deployment: Deployment): number => deployment.spec.replicas ?? 1

const createdMs = (set: ReplicaSet) => parseTime(set.metadata.creationTimestamp) ?? 0
export const byAge = (a: ReplicaSet, b: ReplicaSet): number =>
  createdMs(a) - createdMs(b) || (a.metadata.name < b.metadata.name ? -1 : a.metadata.name > b.metadata.name ? 1 : 0)
const sum = (sets: readonly (ReplicaSet | undefined)[], of: (set: ReplicaSet) => number | undefined): number =>
  sets.reduce((total, set) => total + (set === undefined ? 0 : (of(set) ?? 0)), 0)
export const specReplicas = (sets: readonly (ReplicaSet | undefined)[]) => sum(sets, sizeOf)
export const availableReplicas = (sets: readonly (ReplicaSet | undefined)[]) =>
  sum(sets, (set) => set.status.availableReplicas)
export const statusReplicas = (sets: readonly (ReplicaSet | undefined)[]) => sum(sets, (set) => set.status.replicas)
export const allSets = ({ current, old }: Rollout): readonly ReplicaSet[] =>
  current === undefined ? old : [...old, current]

const withoutHash = (template: PodTemplateSpec) => {
  const { [templateHashLabel]: _hash, ...labels } = template.metadata.labels ?? {}
  return { spec: template.spec, metadata: { ...template.metadata, labels } }
}
/** Equal but for the label that tells them apart. */
export const sameTemplate = (a: PodTemplateSpec, b: PodTemplateSpec): boolean =>
  semanticEqual(withoutHash(a), withoutHash(b))

/** Splits the claimed ReplicaSets; of several with the current template the oldest is the current one. */
export function rolloutOf(deployment: Deployment, sets: readonly ReplicaSet[]): Rollout {
  const sorted = [...sets].sort(byAge)
  const current = sorted.find((set) => sameTemplate(set.spec.template, deployment.spec.template))
  return { deployment, current, old: sorted.filter((set) => set !== current) }
}

/** maxSurge and maxUnavailable as numbers of pods; both may not be zero, or nothing could ever move. */
export function rollingBounds(deployment: Deployment): { readonly maxSurge: number; readonly maxUnavailable: number } {
  const { strategy } = deployment.spec
  const replicas = wishOf(deployment)
  if (strategy.type !== 'RollingUpdate') return { maxSurge: 0, maxUnavailable: 0 }
  const maxSurge = scaledValue(strategy.rollingUpdate?.maxSurge ?? '25%', replicas, 'up') ?? 0
  const maxUnavailable = scaledValue(strategy.rollingUpdate?.maxUnavailable ?? '25%', replicas, 'down') ?? 0
  if (maxSurge === 0 && maxUnavailable === 0) return { maxSurge, maxUnavailable: Math.min(1, replicas) }
  return { maxSurge, maxUnavailable: Math.min(maxUnavailable, replicas) }
}

/** Replicas that the current ReplicaSet may have now. */
export function currentSetReplicas({ deployment, current, old }: Rollout): number {
  const { strategy } = deployment.spec
  const replicas = wishOf(deployment)
  if (strategy.type === 'Recreate') return replicas
  const now = current === undefined ? 0 : sizeOf(current)
  const room = replicas + rollingBounds(deployment).maxSurge - specReplicas([...old, current])
  return room <= 0 ? now : now + Math.min(room, replicas - now)
}

function planCurrent(rollout: Rollout): RolloutStep | undefined {
  const { deployment, current } = rollout
  if (current === undefined) return { type: 'create', replicas: currentSetReplicas(rollout) }
  const wanted = wishOf(deployment)
  const replicas = sizeOf(current) > wanted ? wanted : currentSetReplicas(rollout)
  return replicas === sizeOf(current) ? undefined : { type: 'scale', set: current, replicas }
}

/** Takes old pods away: first those that do not work anyway, then as many as availability allows. */
function planOld({ deployment, current, old }: Rollout): RolloutStep[] {
  if (specReplicas(old) === 0) return []
  const minAvailable = wishOf(deployment) - rollingBounds(deployment).maxUnavailable
  const currentUnavailable = (current === undefined ? 0 : sizeOf(current)) - (current?.status.availableReplicas ?? 0)
  const maxScaledDown = specReplicas([...old, current]) - minAvailable - currentUnavailable
  if (maxScaledDown <= 0) return []
  const replicas = new Map(old.map((set) => [set, sizeOf(set)]))
  let cleaned = 0
  for (const set of old) {
    const size = sizeOf(set)
    const unhealthy = size - (set.status.availableReplicas ?? 0)
    if (cleaned >= maxScaledDown) break
    if (size === 0 || unhealthy <= 0) continue
    const down = Math.min(maxScaledDown - cleaned, unhealthy)
    replicas.set(set, size - down)
    cleaned += down
  }
  let spare = availableReplicas([...old, current]) - minAvailable
  for (const set of old) {
    const size = replicas.get(set) ?? 0
    if (spare <= 0) break
    if (size === 0) continue
    const down = Math.min(size, spare)
    replicas.set(set, size - down)
    spare -= down
  }
  return old.flatMap((set) => {
    const wanted = replicas.get(set) ?? 0
    return wanted === sizeOf(set) ? [] : [{ type: 'scale' as const, set, replicas: wanted }]
  })
}

/** One step of a rolling update: grow the new, or else shrink the old. */
export function planRollingUpdate(rollout: Rollout): readonly RolloutStep[] {
  const grow = planCurrent(rollout)
  return grow === undefined ? planOld(rollout) : [grow]
}

/** Recreate: first all old pods must be gone, `oldPodsRun` says whether some are still there. */
export function planRecreate(rollout: Rollout, oldPodsRun: boolean): readonly RolloutStep[] {
  const down = rollout.old.filter((set) => sizeOf(set) > 0)
  if (down.length > 0) return down.map((set) => ({ type: 'scale', set, replicas: 0 }))
  if (oldPodsRun) return []
  const grow = planCurrent(rollout)
  return grow === undefined ? [] : [grow]
}

const numberAnnotation = (set: ReplicaSet, name: string): number | undefined => {
  const text = set.metadata.annotations?.[name]
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined
}
/** True when the wished size changed since the ReplicaSets were scaled last. */
export const isScalingEvent = (rollout: Rollout): boolean =>
  allSets(rollout).some((set) => {
    const desired = numberAnnotation(set, desiredReplicasAnnotation)
    return sizeOf(set) > 0 && desired !== undefined && desired !== wishOf(rollout.deployment)
  })

/** How much of a change in size one ReplicaSet takes, in proportion to its own size. */
function share(set: ReplicaSet, deployment: Deployment, toAdd: number, added: number): number {
  const size = sizeOf(set)
  if (size === 0 || toAdd === 0 || toAdd === added) return 0
  const left = toAdd - added
  const maxNow = wishOf(deployment) + rollingBounds(deployment).maxSurge
  const maxBefore = numberAnnotation(set, maxReplicasAnnotation) || deployment.status.replicas || 0
  const fraction =
    wishOf(deployment) === 0 ? -size : maxBefore === 0 ? 0 : Math.round((size * maxNow) / maxBefore) - size
  return toAdd > 0 ? Math.min(fraction, left) : Math.max(fraction, left)
}

/** A change of size, outside or in the middle of a rollout; also what keeps a paused Deployment at its size. */
export function planScaling(rollout: Rollout): readonly RolloutStep[] {
  const { deployment, current } = rollout
  const { strategy } = deployment.spec
  const replicas = wishOf(deployment)
  const active = allSets(rollout).filter((set) => sizeOf(set) > 0)
  const newest = [...allSets(rollout)].sort(byAge).at(-1)
  const single = active.length === 0 ? (current ?? newest) : active.length === 1 ? active[0] : undefined
  if (active.length <= 1)
    return single === undefined || sizeOf(single) === replicas
      ? reannotate(single === undefined ? [] : [single], rollout)
      : [{ type: 'scale', set: single, replicas }]
  const saturated =
    current !== undefined &&
    sizeOf(current) === replicas &&
    numberAnnotation(current, desiredReplicasAnnotation) === replicas &&
    current.status.availableReplicas === replicas
  if (saturated)
    return rollout.old.filter((set) => sizeOf(set) > 0).map((set) => ({ type: 'scale' as const, set, replicas: 0 }))
  if (strategy.type !== 'RollingUpdate') return []
  return planProportional(rollout, active)
}
/** Steps that change no size but bring the annotations that remember the wish up to date. */
const reannotate = (sets: readonly ReplicaSet[], rollout: Rollout): RolloutStep[] =>
  sets
    .filter((set) => {
      const desired = numberAnnotation(set, desiredReplicasAnnotation)
      return sizeOf(set) > 0 && desired !== wishOf(rollout.deployment)
    })
    .map((set) => ({ type: 'scale', set, replicas: sizeOf(set) }))

function planProportional({ deployment }: Rollout, active: readonly ReplicaSet[]): readonly RolloutStep[] {
  const replicas = wishOf(deployment)
  const allowed = replicas > 0 ? replicas + rollingBounds(deployment).maxSurge : 0
  const toAdd = allowed - specReplicas(active)
  // Bigger sets take more; among equals the newer one grows and the older one shrinks.
  const sorted = [...active].sort((a, b) => sizeOf(b) - sizeOf(a) || (toAdd > 0 ? byAge(b, a) : byAge(a, b)))
  let added = 0
  const sizes = sorted.map((set) => {
    const part = share(set, deployment, toAdd, added)
    added += part
    return sizeOf(set) + part
  })
  if (sizes[0] !== undefined) sizes[0] = Math.max(0, sizes[0] + toAdd - added)
  return sorted.map((set, i) => ({ type: 'scale', set, replicas: sizes[i] ?? 0 }))
}

export const revisionOf = (object: {
  readonly metadata: { readonly annotations?: { readonly [key: string]: string } | undefined }
}): bigint => parseRevision(object.metadata.annotations?.[revisionAnnotation])
/** Revisions are 64-bit numbers, which is more than a JavaScript number holds exactly; what is no number counts as 0. */
const parseRevision = (text: string | undefined): bigint => (/^\d{1,19}$/.test(text ?? '') ? BigInt(text ?? '') : 0n)
const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)

/** Old ReplicaSets beyond the history limit, lowest revision first; only those that are empty and settled. */
export function planCleanup({ deployment, old }: Rollout): readonly RolloutStep[] {
  const limit = deployment.spec.revisionHistoryLimit
  if (limit === undefined) return []
  const alive = old.filter((set) => set.metadata.deletionTimestamp === undefined)
  const surplus = alive.length - limit
  if (surplus <= 0) return []
  return [...alive]
    .sort((a, b) => compare(revisionOf(a), revisionOf(b)) || byAge(a, b))
    .slice(0, surplus)
    .filter(
      (set) =>
        sizeOf(set) === 0 &&
        (set.status.replicas ?? 0) === 0 &&
        (set.metadata.generation ?? 0) <= (set.status.observedGeneration ?? 0),
    )
    .map((set) => ({ type: 'delete', set }))
}

/** Annotations of the current ReplicaSet: the Deployment's, its revision, and the revisions it had before. */
export function currentSetAnnotations(
  deployment: Deployment,
  old: readonly ReplicaSet[],
  current: ReplicaSet | undefined,
): { readonly [key: string]: string } {
  const annotations: Record<string, string> = { ...current?.metadata.annotations }
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {}))
    if (!ownAnnotations.has(key)) annotations[key] = value
  const revision = old.map(revisionOf).reduce((highest, one) => (one > highest ? one : highest), 0n) + 1n
  const before = current?.metadata.annotations?.[revisionAnnotation]
  if (parseRevision(before) < revision) {
    annotations[revisionAnnotation] = String(revision)
    if (before !== undefined) {
      const history = annotations[revisionHistoryAnnotation]
      const revisions = history === undefined ? [before] : [...history.split(','), before]
      while (revisions.join(',').length > revisionHistoryLimitChars) revisions.shift()
      annotations[revisionHistoryAnnotation] = revisions.join(',')
    }
  }
  return annotations
}
/** The two annotations that a later change of size is measured by. */
export function sizeAnnotations(deployment: Deployment): { readonly [key: string]: string } {
  const replicas = wishOf(deployment)
  return {
    [desiredReplicasAnnotation]: String(replicas),
    [maxReplicasAnnotation]: String(replicas + rollingBounds(deployment).maxSurge),
  }
}

export type Rollback =
  | { readonly type: 'not-found'; readonly message: string }
  | { readonly type: 'unchanged' }
  | { readonly type: 'to'; readonly set: ReplicaSet; readonly revision: bigint }
/** The old API's rollback: to a revision, or (0) to the one before the latest. */
export function planRollback(rollout: Rollout, revision: number): Rollback {
  const sets = allSets(rollout)
  const revisions = sets.map(revisionOf).sort((a, b) => compare(b, a))
  const wanted = revision === 0 ? (revisions[1] ?? 0n) : BigInt(revision)
  if (wanted === 0n) return { type: 'not-found', message: 'Unable to find last revision.' }
  const set = sets.find((candidate) => revisionOf(candidate) === wanted)
  if (set === undefined) return { type: 'not-found', message: 'Unable to find the revision to rollback to.' }
  return sameTemplate(set.spec.template, rollout.deployment.spec.template)
    ? { type: 'unchanged' }
    : { type: 'to', set, revision: wanted }
}
/** The Deployment with the template and annotations of an older ReplicaSet, and the request taken out. */
export function rolledBack(deployment: Deployment, set: ReplicaSet | undefined): Deployment {
  const annotations: Record<string, string> = {}
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {}))
    if (key !== rollbackToAnnotation && (set === undefined || ownAnnotations.has(key))) annotations[key] = value
  for (const [key, value] of Object.entries(set?.metadata.annotations ?? {}))
    if (!ownAnnotations.has(key)) annotations[key] = value
  const metadata = { ...deployment.metadata, annotations }
  if (set === undefined) return { ...deployment, metadata }
  return { ...deployment, metadata, spec: { ...deployment.spec, template: withoutHash(set.spec.template) } }
}
