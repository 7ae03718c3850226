// Pod statuses on their way to the API. The newest wins: what arrives while a write is under way is written after it, and
// nothing is written that the API holds already, so a restart of the kubelet costs no write.
import { semanticEqual } from '../api/machinery/equal.ts'
import { ApiError, isReason } from '../api/machinery/errors.ts'
import { type Clock, type Timer } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import { pods } from '../api/core/pod.ts'
import type { Client } from '../client/client.ts'
import { passingConditions } from './conditions.ts'
import { namespaceOf, type Pod, type PodStatus } from './types.ts'

const retryMs = 1000
/** Fields that are taken away when the kubelet no longer says anything of them. */
const owned = ['reason', 'message', 'initContainerStatuses', 'ephemeralContainerStatuses', 'resize'] as const

interface Entry {
  status: PodStatus
  /** The API's newest object that we know of; undefined while a static pod has no mirror. */
  known: Pod | undefined
  writing: Promise<void> | undefined
  retry: Timer | undefined
}

const newer = (a: Pod, b: Pod): Pod => (Number(b.metadata.resourceVersion) > Number(a.metadata.resourceVersion) ? b : a)
const isEmpty = (value: unknown) => value === undefined || (Array.isArray(value) && value.length === 0)

/** A strategic merge patch that turns `from` into `to`; undefined when there is nothing to change. Conditions are merged
 * by type, so that conditions of others stay. */
export function statusPatch(from: PodStatus, to: PodStatus): Record<string, unknown> | undefined {
  const patch: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(to)) {
    const before = from[key as keyof PodStatus]
    if (key === 'conditions' || (isEmpty(value) && isEmpty(before)) || semanticEqual(before, value)) continue
    // These lists are merged by address unless the patch says otherwise.
    const replaced = key === 'podIPs' || key === 'hostIPs'
    patch[key] = replaced && !isEmpty(before) ? [...(value as unknown[]), { $patch: 'replace' }] : value
  }
  for (const key of owned) if (to[key] === undefined && !isEmpty(from[key])) patch[key] = null
  const conditions = (to.conditions ?? []).filter(
    (condition) =>
      !semanticEqual(
        from.conditions?.find((c) => c.type === condition.type),
        condition,
      ),
  )
  const over = passingConditions.filter(
    (type) => from.conditions?.some((c) => c.type === type) && !to.conditions?.some((c) => c.type === type),
  )
  if (conditions.length + over.length > 0)
    patch['conditions'] = conditions
      .map((condition): object => {
        const before = from.conditions?.find((c) => c.type === condition.type)
        const gone = (['reason', 'message'] as const).filter(
          (f) => condition[f] === undefined && before?.[f] !== undefined,
        )
        return { ...condition, ...Object.fromEntries(gone.map((f) => [f, null])) }
      })
      .concat(over.map((type) => ({ type, $patch: 'delete' })))
  return Object.keys(patch).length === 0 ? undefined : patch
}

export class StatusWriter {
  readonly #client: Client
  readonly #clock: Clock
  readonly #log: Log
  readonly #entries = new Map<string, Entry>()
  constructor(client: Client, clock: Clock, log: Log) {
    this.#client = client
    this.#clock = clock
    this.#log = log
  }
  /** The status as last told, written or not. */
  last(uid: string): PodStatus | undefined {
    return this.#entries.get(uid)?.status
  }
  /** Takes a status to be written to `target`, the API's object as the caller sees it. */
  set(uid: string, target: Pod | undefined, status: PodStatus): void {
    let entry = this.#entries.get(uid)
    if (entry === undefined) {
      entry = { status, known: target, writing: undefined, retry: undefined }
      this.#entries.set(uid, entry)
    }
    entry.status = status
    if (target === undefined || target.metadata.uid !== entry.known?.metadata.uid) entry.known = target
    else entry.known = newer(entry.known, target)
    entry.writing ??= this.#write(uid, entry)
  }
  /** Resolves when the newest status is in the API, or the pod is gone. */
  async flush(uid: string): Promise<void> {
    await this.#entries.get(uid)?.writing
  }
  forget(uid: string): void {
    this.#entries.get(uid)?.retry?.cancel()
    this.#entries.delete(uid)
  }
  stop(): void {
    for (const uid of this.#entries.keys()) this.forget(uid)
  }

  async #write(uid: string, entry: Entry): Promise<void> {
    // After what the caller does in the same turn: several set() in a row are one write.
    await Promise.resolve()
    while (this.#entries.get(uid) === entry && entry.known !== undefined) {
      const { known } = entry
      const patch = statusPatch(known.status, entry.status)
      if (patch === undefined) break
      const { name, uid: targetUid } = known.metadata
      try {
        const body = { metadata: { uid: targetUid }, status: patch }
        const answer = await this.#client
          .resource(pods)
          .patch(name, namespaceOf(known), 'strategic', body, { subresource: 'status' })
        if (entry.known.metadata.uid === targetUid) entry.known = newer(entry.known, answer)
      } catch (error) {
        // Boundary: the pod is gone or replaced, or the API is away and we come back.
        if (isReason(error, 'NotFound') || isReason(error, 'Conflict')) break
        const refused = error instanceof ApiError && error.code < 500 && error.code !== 429
        this.#log[refused ? 'error' : 'warn']('cannot write a pod status', {
          pod: name,
          error: String(error),
        })
        entry.retry = this.#clock.after(retryMs, () => {
          entry.writing ??= this.#write(uid, entry)
        })
        break
      }
    }
    entry.writing = undefined
  }
}
