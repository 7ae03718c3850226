// Who owns what: controller references, and the claim by which a workload adopts matching orphans and releases what no
// longer matches. Adoption asks the server first whether the owner still lives, as the cache may be late.
import { apiVersionOf, type Kind } from '../../api/machinery/kind.ts'
import { equal } from '../../api/machinery/equal.ts'
import { isReason } from '../../api/machinery/errors.ts'
import type { Matcher } from '../../api/machinery/labels.ts'
import type { KubeObject, OwnerReference } from '../../api/machinery/meta.ts'
import { byControllerUid, byNamespace, type Index, type IndexBy, type Informer } from '../../client/informer.ts'
import type { ControllerContext } from './controller.ts'
import type { Writes } from './reconciler.ts'

/** The reference that marks its holder as controlled by `owner`. */
export const controllerRef = <T extends KubeObject>(kind: Kind<T>, owner: T): OwnerReference => ({
  apiVersion: apiVersionOf(kind),
  kind: kind.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid,
  controller: true,
  blockOwnerDeletion: true,
})
export const controllerOf = (object: KubeObject): OwnerReference | undefined =>
  object.metadata.ownerReferences?.find((reference) => reference.controller)
export const isControlledBy = (object: KubeObject, owner: KubeObject): boolean =>
  controllerOf(object)?.uid === owner.metadata.uid

/** Namespaces of objects that nothing controls. */
export const orphansByNamespace: IndexBy<KubeObject> = (object) =>
  object.metadata.namespace !== undefined && controllerOf(object) === undefined ? [object.metadata.namespace] : []

/** Finds the live owner of `kind` that a controller reference means: same name and same UID. */
export function ownerIn<T extends KubeObject>(owners: Informer<T>, object: KubeObject): T | undefined {
  const reference = controllerOf(object)
  if (reference?.kind !== owners.kind.kind) return undefined
  const owner = owners.get(reference.name, object.metadata.namespace)
  return owner?.metadata.uid === reference.uid ? owner : undefined
}

export interface Claim<T> {
  readonly owned: readonly T[]
  readonly adopt: readonly T[]
  readonly release: readonly T[]
}
/** Sorts candidates into what stays owned, what to adopt and what to release. */
export function planClaim<T extends KubeObject>(
  owner: KubeObject,
  matches: Matcher,
  controlled: readonly T[],
  orphans: readonly T[],
  adoptable: (object: T) => boolean = () => true,
): Claim<T> {
  const ownerGoes = owner.metadata.deletionTimestamp !== undefined
  const owned: T[] = []
  const release: T[] = []
  for (const object of controlled)
    if (matches(object.metadata.labels)) owned.push(object)
    else if (!ownerGoes) release.push(object)
  const adopt = ownerGoes
    ? []
    : orphans.filter((o) => o.metadata.deletionTimestamp === undefined && matches(o.metadata.labels) && adoptable(o))
  return { owned, adopt, release }
}

/** Claims the dependents of owners of one kind. */
export function createClaimer<O extends KubeObject, D extends KubeObject>(
  context: ControllerContext,
  owners: Kind<O>,
  dependents: Informer<D>,
  adoptable?: (object: D) => boolean,
) {
  const controlled: Index<D> = dependents.index(byControllerUid)
  const orphans: Index<D> = dependents.index(orphansByNamespace)

  const adopt = (owner: O, object: D, writes: Writes): Promise<D | undefined> => {
    const metadata = { ownerReferences: [controllerRef(owners, owner)], uid: object.metadata.uid }
    return onlyIfThere(() => writes.patch(dependents.kind, object, 'strategic', { metadata }))
  }
  const release = (owner: O, object: D, writes: Writes): Promise<D | undefined> => {
    const ownerReferences = [{ $patch: 'delete', uid: owner.metadata.uid }]
    const metadata = { ownerReferences, uid: object.metadata.uid }
    return onlyIfThere(() => writes.patch(dependents.kind, object, 'strategic', { metadata }))
  }
  /** False when the owner is gone, recreated or going: then nothing may be adopted. */
  async function mayAdopt(owner: O): Promise<boolean> {
    const live = await context.client.resource(owners).find(owner.metadata.name, owner.metadata.namespace)
    return live?.metadata.uid === owner.metadata.uid && live.metadata.deletionTimestamp === undefined
  }

  return {
    /** Everything that `owner` owns after adoption and release. */
    async claim(owner: O, matches: Matcher, writes: Writes): Promise<readonly D[]> {
      const { namespace = '', uid } = owner.metadata
      const plan = planClaim(owner, matches, controlled.get(uid), orphans.get(namespace), adoptable)
      const adopted: D[] = []
      if (plan.adopt.length > 0 && (await mayAdopt(owner)))
        for (const object of plan.adopt) {
          const mine = await adopt(owner, object, writes)
          if (mine !== undefined) adopted.push(mine)
        }
      for (const object of plan.release) await release(owner, object, writes)
      return adopted.length === 0 ? plan.owned : [...plan.owned, ...adopted]
    },
    /** What is controlled by `owner` now, without claiming. */
    controlledBy: (owner: KubeObject): readonly D[] => controlled.get(owner.metadata.uid),
  }
}

/** Enqueues the owner of every dependent that changes, and every owner that could adopt an orphan. */
export function enqueueOwners<O extends KubeObject, D extends KubeObject>(options: {
  readonly owners: Informer<O>
  readonly dependents: Informer<D>
  readonly enqueue: (owner: O) => void
  /** Which labels an owner would adopt; absent: orphans are nobody's business. */
  readonly matches?: (owner: O) => Matcher
}): () => void {
  const { owners, dependents, enqueue, matches } = options
  const inNamespace = owners.index(byNamespace)
  const enqueueOwner = (object: D): boolean => {
    if (controllerOf(object) === undefined) return false
    const owner = ownerIn(owners, object)
    if (owner !== undefined) enqueue(owner)
    return true
  }
  const enqueueAdopters = (object: D) => {
    if (matches === undefined || object.metadata.deletionTimestamp !== undefined) return
    for (const owner of inNamespace.get(object.metadata.namespace ?? ''))
      if (matches(owner)(object.metadata.labels)) enqueue(owner)
  }
  return dependents.handle({
    add: (object) => void (enqueueOwner(object) || enqueueAdopters(object)),
    update(object, old) {
      const ownerChanged = controllerOf(object)?.uid !== controllerOf(old)?.uid
      if (ownerChanged) enqueueOwner(old)
      if (enqueueOwner(object)) return
      if (ownerChanged || !equal(object.metadata.labels, old.metadata.labels)) enqueueAdopters(object)
    },
    delete: (last) => void enqueueOwner(last),
  })
}

/** Undefined where the object vanished or became another one meanwhile; the next run sees what is there then. */
async function onlyIfThere<T>(write: () => Promise<T>): Promise<T | undefined> {
  try {
    return await write()
  } catch (error) {
    if (isReason(error, 'NotFound') || isReason(error, 'Invalid')) return undefined
    throw error
  }
}
