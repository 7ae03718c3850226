// Secrets with tokens that were made for an account automatically, long ago: unused for a year they are marked invalid, and
// after another year deleted. Secrets that a user made, or that a pod mounts, are left alone. KEP-2799.
import { configMaps } from '../api/core/config-map.ts'
import { dayOf, invalidSinceLabel, lastUsedLabel, trackingConfigMap, trackingSince } from '../api/core/legacy-token.ts'
import { pods as podKind } from '../api/core/pod.ts'
import { type Secret, secrets } from '../api/core/secret.ts'
import { serviceAccounts } from '../api/core/service-account.ts'
import { keyOf } from '../client/informer.ts'
import type { Controller } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

const type = 'kubernetes.io/service-account-token'
const accountAnnotation = 'kubernetes.io/service-account.name'
const dayMs = 86_400_000
const unusedMs = 365 * dayMs

export type CleanUp = 'keep' | 'invalidate' | 'revive' | 'delete'
const dayMsOf = (text: string | undefined): number | undefined => {
  const ms = text === undefined ? Number.NaN : Date.parse(`${text}T00:00:00Z`)
  return Number.isNaN(ms) ? undefined : ms
}

/** What to do with an automatic token that nothing mounts. `sinceMs`: uses are dated since then. */
export function planCleanUp({ metadata }: Secret, sinceMs: number, nowMs: number): CleanUp {
  const usedMs = dayMsOf(metadata.labels?.[lastUsedLabel])
  const invalidMs = dayMsOf(metadata.labels?.[invalidSinceLabel])
  const idleSinceMs = Math.max(usedMs ?? 0, sinceMs, Date.parse(metadata.creationTimestamp))
  if (invalidMs === undefined) return nowMs - idleSinceMs >= unusedMs ? 'invalidate' : 'keep'
  if (usedMs !== undefined && usedMs > invalidMs) return 'revive'
  return nowMs - invalidMs >= unusedMs ? 'delete' : 'keep'
}

export const legacyTokenCleaner: Controller = {
  name: 'legacy-serviceaccount-token-cleaner-controller',
  start(context) {
    const { clock, informers } = context
    const held = informers.informer(secrets, { fieldSelector: `type=${type}` })
    const accounts = informers.informer(serviceAccounts)
    const pods = informers.informer(podKind)
    const tracking = informers.informer(configMaps, {
      namespace: 'kube-system',
      fieldSelector: `metadata.name=${trackingConfigMap}`,
    })
    const isAutomatic = ({ metadata }: Secret): boolean => {
      const account = accounts.get(metadata.annotations?.[accountAnnotation] ?? '', metadata.namespace)
      return account?.secrets?.some(({ name }) => name === metadata.name) ?? false
    }
    const isMounted = ({ metadata }: Secret): boolean =>
      [...pods.list()].some(
        (pod) =>
          pod.metadata.namespace === metadata.namespace &&
          (pod.spec.volumes ?? []).some(({ secret }) => secret?.secretName === metadata.name),
      )
    const reconciler = startReconciler({
      context,
      caches: [held, accounts, pods, tracking],
      async reconcile(key, writes) {
        const secret = held.byKey(key)
        const sinceMs = dayMsOf(tracking.get(trackingConfigMap, 'kube-system')?.data?.[trackingSince])
        if (secret === undefined || sinceMs === undefined) return undefined
        // looked at again every day: time is what changes it
        if (!isAutomatic(secret)) return dayMs
        const { metadata } = secret
        const { [invalidSinceLabel]: _old, ...labels } = metadata.labels ?? {}
        const plan = isMounted(secret) ? 'keep' : planCleanUp(secret, sinceMs, clock.now())
        if (plan === 'delete') {
          const { uid, resourceVersion } = metadata
          await writes.delete(secrets, secret, { preconditions: { uid, resourceVersion } })
          return undefined
        }
        if (plan === 'revive') await writes.update(secrets, { ...secret, metadata: { ...metadata, labels } })
        if (plan === 'invalidate') {
          const marked = { ...labels, [invalidSinceLabel]: dayOf(clock.now()) }
          await writes.update(secrets, { ...secret, metadata: { ...metadata, labels: marked } })
        }
        return dayMs
      },
      onStop() {
        for (const off of handlers) off()
      },
    })
    const enqueue = (secret: Secret) => reconciler.enqueue(keyOf(secret))
    const handlers = [
      held.handle({ add: enqueue, update: enqueue }),
      tracking.handle({
        add() {
          for (const secret of held.list()) enqueue(secret)
        },
      }),
    ]
    return reconciler
  },
}
