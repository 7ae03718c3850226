// Tells users of a NetworkPolicy that this node does not enforce yet: large ones take the kernel a while, and until then what held
// before holds. What is quick is not told of.
import type { NetworkPolicy } from '../api/networking/network-policy.ts'
import type { EventRecorder } from '../client/event-recorder.ts'
import { keyOf } from '../client/informer.ts'
import type { Clock } from '../ports/clock.ts'
import type { PolicyRule } from '../ports/dataplane.ts'

/** From here on users want to know. */
const slowMs = 5000

export interface PolicyLag {
  changed(policy: NetworkPolicy): void
  gone(policy: NetworkPolicy): void
  /** Runs what hands `rules` to the kernel; what it throws is told of and thrown on. */
  during<T>(rules: readonly PolicyRule[], run: () => Promise<T>): Promise<T>
}
interface Waiting {
  readonly policy: NetworkPolicy
  readonly sinceMs: number
  /** What users were told last. */
  told?: string
}
const blocksOf = ({ spec }: NetworkPolicy): number =>
  [
    ...(spec.ingress ?? []).flatMap(({ from }) => from ?? []),
    ...(spec.egress ?? []).flatMap(({ to }) => to ?? []),
  ].filter(({ ipBlock }) => ipBlock !== undefined).length

export function createPolicyLag(nodeName: string, clock: Clock, recorder: EventRecorder | undefined): PolicyLag {
  const waiting = new Map<string, Waiting>()
  const secondsOf = ({ sinceMs }: Waiting) => Math.round((clock.monotonic() - sinceMs) / 1000)
  return {
    changed: (policy) => {
      const since = waiting.get(keyOf(policy))?.sinceMs ?? clock.monotonic()
      waiting.set(keyOf(policy), { policy, sinceMs: since })
    },
    gone: (policy) => void waiting.delete(keyOf(policy)),
    async during(rules, run) {
      // A policy that selects no pod of this node is no matter of this node's.
      const here = new Set(rules.map(({ key }) => key))
      const given = new Map([...waiting].filter(([key]) => here.has(key)))
      for (const key of waiting.keys()) if (!here.has(key)) waiting.delete(key)
      if (given.size === 0) return run()
      const tell = (one: Waiting, reason: string, message: string) => {
        if (one.told === reason) return
        one.told = reason
        recorder?.event(one.policy, 'Warning', reason, message)
      }
      const late = clock.after(slowMs, () => {
        for (const one of given.values())
          tell(
            one,
            'NetworkPolicyNotEnforced',
            `node ${nodeName} does not enforce this version of the policy yet: it has been giving its ${blocksOf(one.policy)} address blocks to the kernel for ${secondsOf(one)} s`,
          )
      })
      try {
        const result = await run()
        for (const [key, one] of given) {
          if (waiting.get(key) === one) waiting.delete(key)
          if (one.told !== undefined)
            recorder?.event(
              one.policy,
              'Normal',
              'NetworkPolicyEnforced',
              `node ${nodeName} enforces the policy since now, ${secondsOf(one)} s after it changed`,
            )
        }
        return result
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        for (const one of given.values())
          tell(
            one,
            'FailedToEnforceNetworkPolicy',
            `node ${nodeName} cannot enforce this version of the policy: ${why}`,
          )
        throw error
      } finally {
        late.cancel()
      }
    },
  }
}
