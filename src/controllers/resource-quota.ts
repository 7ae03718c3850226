// Counts anew what the objects of a namespace use, when some go, change, or the quota does. Admission charges what comes;
// this controller gives back.
import { pods as podKind } from '../api/core/pod.ts'
import { addAmounts, quotaMatches, quotaUsage } from '../api/core/quota-usage.ts'
import { type ResourceQuota, resourceQuotas } from '../api/core/resource-quota.ts'
import { builtinKinds } from '../api/kinds.ts'
import { equal } from '../api/machinery/equal.ts'
import type { Kind } from '../api/machinery/kind.ts'
import type { KubeObject } from '../api/machinery/meta.ts'
import { canonicalQuantity, compareQuantities } from '../api/machinery/quantity.ts'
import { byNamespace, type Index, type Informer, keyOf } from '../client/informer.ts'
import type { Controller } from './framework/controller.ts'
import { discover } from './framework/discovery.ts'
import { startReconciler } from './framework/reconciler.ts'

type Amounts = Readonly<Record<string, string>>

/** "plural" or "plural.group" of the resource that a quota's name counts; undefined for names nobody counts. */
export function countedResource(name: string): string | undefined {
  if (name.startsWith('count/')) return name.slice('count/'.length)
  if (name.startsWith('services.') || name === 'services') return 'services'
  if (
    name === 'persistentvolumeclaims' ||
    name === 'requests.storage' ||
    name.includes('.storageclass.storage.k8s.io/')
  )
    return 'persistentvolumeclaims'
  if (['configmaps', 'secrets', 'replicationcontrollers', 'resourcequotas'].includes(name)) return name
  return /^(pods|cpu|memory|ephemeral-storage|requests\.|limits\.|hugepages-)/.test(name) || name.includes('/')
    ? 'pods'
    : undefined
}

/** What of `hard` the objects use in all; zero where none does. */
export function planUsed(
  quota: ResourceQuota,
  objects: Iterable<{ readonly kind: Kind; readonly object: KubeObject }>,
  nowMs: number,
): Amounts {
  let total: Amounts = {}
  for (const { kind, object } of objects)
    if (quotaMatches(quota, kind.group, kind.plural, object))
      total = addAmounts(total, quotaUsage(kind.group, kind.plural, object, nowMs))
  return Object.fromEntries(
    Object.keys(quota.spec.hard ?? {}).map((name) => [name, canonicalQuantity(total[name] ?? '0')]),
  )
}
const sameAmounts = (a: Amounts, b: Amounts): boolean =>
  Object.keys(a).length === Object.keys(b).length &&
  Object.entries(a).every(([name, amount]) => {
    const other = b[name]
    return other !== undefined && compareQuantities(amount, other) === 0
  })

interface Counted {
  readonly kind: Kind
  readonly informer: Informer<KubeObject>
  readonly objects: Index<KubeObject>
}

/** What others write into a status is put right after this time at the latest. */
const resyncMs = 300_000

export const resourceQuotaController: Controller = {
  name: 'resourcequota-controller',
  start(context) {
    const { client, clock, informers } = context
    const quotas = informers.informer(resourceQuotas)
    const quotasIn = quotas.index(byNamespace)
    const counted = new Map<string, Counted>()
    const handlers: (() => void)[] = []

    const enqueueNamespace = (namespace: string | undefined) => {
      for (const quota of quotasIn.get(namespace ?? '')) reconciler.enqueue(keyOf(quota))
    }
    /** Starts to follow a resource the first time that a quota names it. */
    async function follow(resource: string): Promise<Counted | undefined> {
      const known = counted.get(resource)
      if (known !== undefined) return known
      const is = (kind: Kind) => resource === (kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`)
      const kind =
        builtinKinds.find(is) ?? (await discover(client, builtinKinds)).kinds.find((found) => is(found.kind))?.kind
      if (kind === undefined || !kind.namespaced) return undefined
      const informer = informers.informer(kind)
      await informer.synced
      const entry = counted.get(resource) ?? { kind, informer, objects: informer.index(byNamespace) }
      if (counted.has(resource)) return entry
      counted.set(resource, entry)
      const isPods = kind.plural === podKind.plural && kind.group === ''
      handlers.push(
        informer.handle({
          add: (object, initial) => void (initial || enqueueNamespace(object.metadata.namespace)),
          update(object, old) {
            // Pods change all the time: only what they count for matters.
            const nowMs = clock.now()
            const use = (one: KubeObject) => quotaUsage(kind.group, kind.plural, one, nowMs)
            const changed = isPods || kind.group === '' ? !equal(use(object), use(old)) : false
            if (changed) enqueueNamespace(object.metadata.namespace)
          },
          delete: (object) => enqueueNamespace(object.metadata.namespace),
        }),
      )
      return entry
    }

    const reconciler = startReconciler({
      context,
      caches: [quotas],
      async reconcile(key, writes) {
        const quota = quotas.byKey(key)
        if (quota === undefined || quota.metadata.deletionTimestamp !== undefined) return undefined
        const hard = quota.spec.hard ?? {}
        const resources = new Set(Object.keys(hard).map(countedResource))
        const objects: { kind: Kind; object: KubeObject }[] = []
        for (const resource of resources) {
          const entry = resource === undefined ? undefined : await follow(resource)
          if (entry === undefined) continue
          for (const object of entry.objects.get(quota.metadata.namespace ?? ''))
            objects.push({ kind: entry.kind, object })
        }
        const used = planUsed(quota, objects, clock.now())
        const { status } = quota
        if (!sameAmounts(status.hard ?? {}, hard) || !sameAmounts(status.used ?? {}, used))
          await writes.updateStatus(resourceQuotas, { ...quota, status: { hard, used } })
        return resyncMs
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    handlers.push(
      quotas.handle({
        add: (quota) => reconciler.enqueue(keyOf(quota)),
        update(quota, old) {
          if (!equal(quota.spec, old.spec)) reconciler.enqueue(keyOf(quota))
        },
      }),
    )
    return reconciler
  },
}
