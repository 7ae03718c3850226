// A namespace that is being deleted loses all its contents, whatever kinds the server has by then; its conditions say
// what still stands in the way. Pods go first (KEP-5080), so that nothing they depend on vanishes under them.
import { type Namespace, type NamespaceCondition, namespaces } from '../api/core/namespace.ts'
import { pods as podKind } from '../api/core/pod.ts'
import { builtinKinds } from '../api/kinds.ts'
import type { Kind } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import type { Client } from '../client/client.ts'
import { byNamespace } from '../client/informer.ts'
import { withCondition } from './framework/conditions.ts'
import type { Controller } from './framework/controller.ts'
import { type DiscoveredKind, discover } from './framework/discovery.ts'
import { startReconciler } from './framework/reconciler.ts'

const finalizer = 'kubernetes'
/** Contents that wait for somebody else's finalizer are looked at again after half of this. */
const finalizerEstimateSeconds = 15

/** What is left of one resource. */
export interface Remainder {
  /** "pods." or "deployments.apps", as the conditions name it. */
  readonly resource: string
  readonly count: number
  readonly finalizers: readonly string[]
  readonly estimateSeconds: number
}
export interface ContentState {
  readonly discoveryFailures: ReadonlyMap<string, string>
  readonly deletionErrors: readonly string[]
  readonly remaining: readonly Remainder[]
}

const success: Readonly<Record<string, readonly [reason: string, message: string]>> = {
  NamespaceDeletionDiscoveryFailure: ['ResourcesDiscovered', 'All resources successfully discovered'],
  NamespaceDeletionGroupVersionParsingFailure: ['ParsedGroupVersions', 'All legacy kube types successfully parsed'],
  NamespaceDeletionContentFailure: [
    'ContentDeleted',
    'All content successfully deleted, may be waiting on finalization',
  ],
  NamespaceContentRemaining: ['ContentRemoved', 'All content successfully removed'],
  NamespaceFinalizersRemaining: ['ContentHasNoFinalizers', 'All content-preserving finalizers finished'],
}

function failures({ discoveryFailures, deletionErrors, remaining }: ContentState) {
  const out = new Map<string, readonly [reason: string, message: string]>()
  if (discoveryFailures.size > 0) {
    const list = [...discoveryFailures].map(([version, why]) => `${version}: ${why}`).join(', ')
    const message = `Discovery failed for some groups, ${discoveryFailures.size} failing: ${list}`
    out.set('NamespaceDeletionDiscoveryFailure', ['DiscoveryFailed', message])
  }
  if (deletionErrors.length > 0) {
    const message = `Failed to delete all resource types, ${deletionErrors.length} remaining: ${deletionErrors.join(', ')}`
    out.set('NamespaceDeletionContentFailure', ['ContentDeletionFailed', message])
  }
  const left = remaining.map(({ resource, count }) => `${resource} has ${count} resource instances`).sort()
  if (left.length > 0)
    out.set('NamespaceContentRemaining', ['SomeResourcesRemain', `Some resources are remaining: ${left.join(', ')}`])
  const holders = new Map<string, number>()
  for (const { finalizers } of remaining) for (const name of finalizers) holders.set(name, (holders.get(name) ?? 0) + 1)
  if (holders.size > 0) {
    const list = [...holders].map(([name, count]) => `${name} in ${count} resource instances`).sort()
    const message = `Some content in the namespace has finalizers remaining: ${list.join(', ')}`
    out.set('NamespaceFinalizersRemaining', ['SomeFinalizersRemain', message])
  }
  return out
}
/** The five conditions of a namespace that is being deleted. */
export function planConditions(
  current: readonly NamespaceCondition[] | undefined,
  state: ContentState,
  nowMs: number,
): readonly NamespaceCondition[] {
  const failed = failures(state)
  let conditions = current ?? []
  for (const [type, ok] of Object.entries(success)) {
    const failure = failed.get(type)
    const [reason, message] = failure ?? ok
    conditions = withCondition(conditions, { type, status: failure ? 'True' : 'False', reason, message }, nowMs)
  }
  return conditions
}

/** Deletes everything of one kind in a namespace; undefined when nothing is left. */
async function deleteAll(
  client: Client,
  { kind, verbs }: DiscoveredKind,
  namespace: string,
): Promise<Remainder | undefined> {
  const resource = client.resource(kind)
  const before = await resource.list({ namespace })
  if (before.items.length === 0) return undefined
  const propagationPolicy = 'Background'
  if (verbs.has('deletecollection')) await resource.deleteCollection({ namespace }, { propagationPolicy })
  else for (const item of before.items) await deleteOne(client, kind, item)
  const { items } = await resource.list({ namespace })
  if (items.length === 0) return undefined
  const finalizers = items.flatMap((item) => item.metadata.finalizers ?? [])
  const grace = Math.max(0, ...items.map((item) => item.metadata.deletionGracePeriodSeconds ?? 0))
  return {
    resource: `${kind.plural}.${kind.group}`,
    count: items.length,
    finalizers,
    estimateSeconds: Math.max(grace, finalizers.length > 0 ? finalizerEstimateSeconds : 0),
  }
}
async function deleteOne(client: Client, kind: Kind, { metadata }: KubeObject): Promise<void> {
  const options = { propagationPolicy: 'Background', preconditions: { uid: metadata.uid } } as const
  if ((await client.resource(kind).find(metadata.name, metadata.namespace)) !== undefined)
    await client.resource(kind).delete(metadata.name, metadata.namespace, options)
}

/** Deletes the contents of a namespace as far as that goes now. */
async function deleteContents(client: Client, namespace: string): Promise<ContentState> {
  const { kinds, failures: discoveryFailures } = await discover(client, builtinKinds)
  const deletable = kinds.filter(({ kind, verbs }) => kind.namespaced && verbs.has('delete') && verbs.has('list'))
  const deletionErrors: string[] = []
  const remaining: Remainder[] = []
  const clear = async (found: DiscoveredKind) => {
    try {
      const left = await deleteAll(client, found, namespace)
      if (left !== undefined) remaining.push(left)
    } catch (error) {
      // Boundary: one kind that cannot be deleted must not keep the others alive; the condition names it.
      deletionErrors.push((error as Error).message)
    }
  }
  const isPods = ({ kind }: DiscoveredKind) => kind.plural === 'pods' && kind.group === ''
  await Promise.all(deletable.filter(isPods).map(clear))
  if (remaining.length === 0 && deletionErrors.length === 0)
    await Promise.all(deletable.filter((found) => !isPods(found)).map(clear))
  return { discoveryFailures, deletionErrors, remaining }
}

export const namespaceController: Controller = {
  name: 'namespace-controller',
  start(context) {
    const { client, clock, informers } = context
    const spaces = informers.informer(namespaces)
    const pods = informers.informer(podKind)
    const podsByNamespace = pods.index(byNamespace)
    const reconciler = startReconciler({
      context,
      caches: [spaces, pods],
      parallel: 10,
      async reconcile(name, writes) {
        let namespace = spaces.get(name)
        if (namespace?.metadata.deletionTimestamp === undefined) return
        if (!namespace.spec.finalizers?.includes(finalizer)) return
        if (namespace.status.phase !== 'Terminating')
          namespace = await writes.updateStatus(namespaces, {
            ...namespace,
            status: { ...namespace.status, phase: 'Terminating' },
          })
        const state = await deleteContents(client, name)
        const isDone =
          state.remaining.length === 0 && state.deletionErrors.length === 0 && state.discoveryFailures.size === 0
        if (!isDone || namespace.status.conditions !== undefined) {
          const conditions = planConditions(namespace.status.conditions, state, clock.now())
          if (conditions !== namespace.status.conditions)
            namespace = await writes.updateStatus(namespaces, {
              ...namespace,
              status: { ...namespace.status, conditions },
            })
        }
        if (isDone) {
          const finalizers = namespace.spec.finalizers?.filter((f) => f !== finalizer) ?? []
          await writes.update(namespaces, { ...namespace, spec: { finalizers } }, { subresource: 'finalize' })
          return
        }
        if (state.deletionErrors.length > 0 || state.discoveryFailures.size > 0)
          throw new Error(
            `namespace ${name}: ${[...state.deletionErrors, ...state.discoveryFailures.keys()].join(', ')}`,
          )
        const estimate = Math.max(...state.remaining.map((r) => r.estimateSeconds))
        return (Math.floor(estimate / 2) + 1) * 1000
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const enqueue = (namespace: Namespace) => {
      if (namespace.metadata.deletionTimestamp !== undefined) reconciler.enqueue(namespace.metadata.name)
    }
    const handlers = [
      spaces.handle({ add: enqueue, update: enqueue }),
      pods.handle({
        delete(pod) {
          const { namespace = '' } = pod.metadata
          if (podsByNamespace.has(namespace)) return
          const space = spaces.get(namespace)
          if (space !== undefined) enqueue(space)
        },
      }),
    ]
    return reconciler
  },
}
