// One leader among several processes, by a Lease. A candidate trusts only its own clock: a lease counts as held for its
// duration from when *we* saw it change, so that wrong clocks elsewhere do no harm.
import { ApiError } from '../api/machinery/errors.ts'
import { formatMicroTime } from '../api/machinery/time.ts'
import { type Lease, leases } from '../api/coordination/lease.ts'
import { type Clock, sleep } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'
import { TransportError } from '../ports/transport.ts'
import type { Client } from './client.ts'

export interface LeaderElectionOptions {
  readonly client: Client
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly namespace: string
  readonly name: string
  /** Unique among the candidates: host name and a UUID. */
  readonly identity: string
  readonly leaseDurationMs?: number
  /** A leader that could not renew for this long stops leading. */
  readonly renewDeadlineMs?: number
  readonly retryPeriodMs?: number
  /** We lead; `signal` aborts when we no longer do. */
  readonly lead: (signal: AbortSignal) => void
}
export interface LeaderElection {
  readonly isLeader: boolean
  /** The holder as we last saw it. */
  readonly leader: string | undefined
  /** Stops leading and gives the lease back, so that another takes over at once. */
  stop(): Promise<void>
}

export function startLeaderElection(options: LeaderElectionOptions): LeaderElection {
  const { client, clock, random, log, namespace, name, identity } = options
  const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2000 } = options
  const resource = client.resource(leases)
  const stopping = new AbortController()
  let leading: AbortController | undefined
  let observed: { readonly lease: Lease; readonly atMs: number } | undefined

  const observe = (lease: Lease): Lease => {
    if (observed?.lease.metadata.resourceVersion !== lease.metadata.resourceVersion)
      observed = { lease, atMs: clock.monotonic() }
    return lease
  }
  /** True when the lease is ours after the attempt. */
  async function acquireOrRenew(): Promise<boolean> {
    const now = formatMicroTime(clock.now())
    const mine = { holderIdentity: identity, leaseDurationSeconds: leaseDurationMs / 1000, renewTime: now }
    const current = await resource.find(name, namespace)
    if (current === undefined) {
      const spec = { ...mine, acquireTime: now, leaseTransitions: 0 }
      observe(await resource.create({ metadata: { name, namespace }, spec }))
      return true
    }
    observe(current)
    const held = current.spec.holderIdentity
    const durationMs = (current.spec.leaseDurationSeconds ?? leaseDurationMs / 1000) * 1000
    if (held && held !== identity && observed !== undefined && observed.atMs + durationMs > clock.monotonic())
      return false
    const since =
      held === identity
        ? {}
        : { acquireTime: now, leaseTransitions: (current.spec.leaseTransitions ?? 0) + (held === undefined ? 0 : 1) }
    observe(await resource.update({ ...current, spec: { ...current.spec, ...mine, ...since } }))
    return true
  }
  /** Boundary: another candidate may win a write, the server may be away; both count as "not ours this time". */
  async function attempt(): Promise<boolean> {
    try {
      const tooLong = sleep(clock, renewDeadlineMs / 2, stopping.signal).then(() => false)
      return await Promise.race([acquireOrRenew(), tooLong])
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof TransportError)) throw error
      log.debug('leader election: attempt failed', { lease: name, error: error.message })
      return false
    }
  }
  async function release(): Promise<void> {
    const lease = observed?.lease
    if (lease?.spec.holderIdentity !== identity) return
    const { holderIdentity: _mine, ...spec } = lease.spec
    try {
      await resource.update({ ...lease, spec: { ...spec, leaseDurationSeconds: 1 } })
    } catch (error) {
      log.debug('leader election: lease not given back', { lease: name, error: String(error) })
    }
  }
  async function run(): Promise<void> {
    const { signal } = stopping
    let renewedMs = 0
    while (!signal.aborted) {
      const startedMs = clock.monotonic()
      if (await attempt()) {
        renewedMs = startedMs
        if (leading === undefined && !signal.aborted) {
          leading = new AbortController()
          log.info('became leader', { lease: name, identity })
          options.lead(leading.signal)
        }
      } else if (leading !== undefined && clock.monotonic() - renewedMs > renewDeadlineMs) {
        log.warn('lost leadership', { lease: name, identity })
        leading.abort()
        leading = undefined
      }
      await sleep(clock, retryPeriodMs * (leading === undefined ? 1 + random.float() * 1.2 : 1), signal)
    }
    const wasLeading = leading !== undefined
    leading?.abort()
    leading = undefined
    if (wasLeading) await release()
  }
  const done = run()
  return {
    get isLeader() {
      return leading !== undefined
    },
    get leader() {
      return observed?.lease.spec.holderIdentity
    },
    stop() {
      stopping.abort()
      return done
    },
  }
}
