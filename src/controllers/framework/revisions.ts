// The history of a template: one ControllerRevision per version, numbered, equal ones found again instead of made anew.
// StatefulSets and DaemonSets share it; `kubectl rollout history` and `undo` read what is written here.
import { type ControllerRevision, controllerRevisions } from '../../api/apps/controller-revision.ts'
import type { PodTemplateSpec } from '../../api/core/pod-template.ts'
import { equal } from '../../api/machinery/equal.ts'
import { isReason } from '../../api/machinery/errors.ts'
import type { Kind } from '../../api/machinery/kind.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { JsonObject } from '../../api/machinery/schema.ts'
import type { ControllerContext } from './controller.ts'
import { templateHash } from './hash.ts'
import { controllerRef, isControlledBy } from './ownership.ts'
import type { Writes } from './reconciler.ts'
import { byCreation } from './time.ts'

export const byRevision = (a: ControllerRevision, b: ControllerRevision): number =>
  a.revision - b.revision || byCreation(a, b)

/** Keys in the order in which Go writes a map. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, part]) => part !== undefined)
  return Object.fromEntries(entries.sort(([x], [y]) => (x < y ? -1 : 1)).map(([key, part]) => [key, sorted(part)]))
}
/** The data of a revision: a patch that puts the template in place, which is what `rollout undo` sends. Clients find the
 * revision of a template by comparing bytes, so the keys are sorted. */
export const revisionData = (template: PodTemplateSpec): JsonObject =>
  sorted({ spec: { template: { ...template, $patch: 'replace' } } }) as JsonObject
/** The template that a revision holds. */
export function revisionTemplate({ data }: ControllerRevision): PodTemplateSpec | undefined {
  const spec = (data as { readonly spec?: { readonly template?: Record<string, unknown> } } | undefined)?.spec
  if (spec?.template === undefined) return undefined
  const { $patch: _patch, ...template } = spec.template
  return template as unknown as PodTemplateSpec
}

export interface RevisionOwner<T extends KubeObject> {
  readonly kind: Kind<T>
  readonly owner: T
  readonly template: PodTemplateSpec
  readonly collisionCount: number | undefined
  /** Label that holds the hash, beside the template's labels. */
  readonly hashLabel: string
}
export interface History {
  /** Sorted, oldest first; holds `update`. */
  readonly revisions: readonly ControllerRevision[]
  /** The revision of the template as it is now. */
  readonly update: ControllerRevision
  readonly collisionCount: number | undefined
}

/** Finds or makes the revision of the current template. An older equal one becomes the newest again. */
export async function syncHistory<T extends KubeObject>(
  context: ControllerContext,
  { kind, owner, template, collisionCount, hashLabel }: RevisionOwner<T>,
  owned: readonly ControllerRevision[],
  writes: Writes,
): Promise<History> {
  const revisions = [...owned].sort(byRevision)
  const latest = revisions.at(-1)
  const next = (latest?.revision ?? 0) + 1
  const same = revisions.filter((revision) => equal(revisionTemplate(revision), template)).at(-1)
  if (same !== undefined && same === latest) return { revisions, update: same, collisionCount }
  if (same !== undefined) {
    const update = await writes.update(controllerRevisions, { ...same, revision: next })
    return { revisions: [...revisions.filter((r) => r !== same), update], update, collisionCount }
  }
  let collisions = collisionCount
  for (;;) {
    const hash = templateHash(template, collisions)
    const { name: ownerName, namespace, annotations } = owner.metadata
    const name = `${ownerName.slice(0, 223)}-${hash}`
    try {
      const update = await writes.create(controllerRevisions, {
        metadata: {
          name,
          ...(namespace === undefined ? {} : { namespace }),
          labels: { ...template.metadata.labels, [hashLabel]: hash },
          ...(annotations === undefined ? {} : { annotations }),
          ownerReferences: [controllerRef(kind, owner)],
        },
        data: revisionData(template),
        revision: next,
      })
      return { revisions: [...revisions, update], update, collisionCount: collisions }
    } catch (error) {
      if (!isReason(error, 'AlreadyExists')) throw error
      const taken = await context.client.resource(controllerRevisions).find(name, namespace)
      if (taken !== undefined && isControlledBy(taken, owner) && equal(revisionTemplate(taken), template))
        return { revisions: [...revisions, taken], update: taken, collisionCount: collisions }
      collisions = (collisions ?? 0) + 1
    }
  }
}

/** The oldest revisions beyond `limit` that no pod is of. */
export function planTruncation(
  revisions: readonly ControllerRevision[],
  isLive: (revision: ControllerRevision) => boolean,
  limit: number,
): readonly ControllerRevision[] {
  const dead = [...revisions].sort(byRevision).filter((revision) => !isLive(revision))
  return dead.slice(0, Math.max(0, dead.length - limit))
}
