// Service account tokens of pods, bound to the pod, asked for once and renewed at four fifths of their life or after a
// day, whichever comes first.
import { serviceAccounts } from '../api/core/service-account.ts'
import type { Client } from '../client/client.ts'
import type { Clock, Timer } from '../ports/clock.ts'
import type { Random } from '../ports/random.ts'
import { namespaceOf, type Pod } from './types.ts'
import type { TokenSource } from './volumes/volume.ts'

const dayMs = 24 * 3600 * 1000
const defaultExpirationSeconds = 3600

interface Entry {
  readonly token: Promise<string>
  /** Of the wall clock, as is the token's validity: outside of these another is asked for. */
  readonly issuedAtMs: number
  renewAtMs: number
  timer: Timer | undefined
}
interface TokenRequestAnswer {
  readonly status?: { readonly token?: string; readonly expirationTimestamp?: string }
}

export class Tokens implements TokenSource {
  readonly #client: Client
  readonly #clock: Clock
  readonly #random: Random
  readonly #onRenew: (uid: string) => void
  readonly #entries = new Map<string, Entry>()
  /** `onRenew`: a token of this pod should be asked for again. */
  constructor(client: Client, clock: Clock, random: Random, onRenew: (uid: string) => void) {
    this.#client = client
    this.#clock = clock
    this.#random = random
    this.#onRenew = onRenew
  }
  token(pod: Pod, audience: string | undefined, expirationSeconds = defaultExpirationSeconds): Promise<string> {
    const key = [pod.metadata.uid, audience ?? '', expirationSeconds].join(' ')
    const known = this.#entries.get(key)
    const nowMs = this.#clock.now()
    if (known !== undefined && nowMs >= known.issuedAtMs && nowMs < known.renewAtMs) return known.token
    known?.timer?.cancel()
    const entry: Entry = {
      token: this.#request(pod, audience, expirationSeconds).then((answer) => {
        this.#plan(pod.metadata.uid, entry, answer.expiresAtMs)
        return answer.token
      }),
      issuedAtMs: nowMs,
      renewAtMs: Number.POSITIVE_INFINITY,
      timer: undefined,
    }
    this.#entries.set(key, entry)
    entry.token.catch(() => this.#entries.delete(key))
    return entry.token
  }
  /** The wall clock was set: a token may have ended, or not begun. Pods that hold one that is not good any more get
   * another. */
  clockWasSet(): void {
    const nowMs = this.#clock.now()
    for (const [key, { issuedAtMs, renewAtMs }] of this.#entries)
      if (nowMs < issuedAtMs || nowMs >= renewAtMs) this.#onRenew(key.split(' ')[0] ?? '')
  }
  forget(uid: string): void {
    for (const [key, entry] of this.#entries)
      if (key.startsWith(`${uid} `)) {
        entry.timer?.cancel()
        this.#entries.delete(key)
      }
  }
  stop(): void {
    for (const entry of this.#entries.values()) entry.timer?.cancel()
    this.#entries.clear()
  }
  async #request(pod: Pod, audience: string | undefined, expirationSeconds: number) {
    const { name, uid } = pod.metadata
    const answer = await this.#client
      .resource(serviceAccounts)
      .post<TokenRequestAnswer>(pod.spec.serviceAccountName ?? 'default', namespaceOf(pod), 'token', {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences: audience === undefined ? [] : [audience],
          expirationSeconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
        },
      })
    const { token, expirationTimestamp } = answer.status ?? {}
    if (token === undefined) throw new Error('failed to fetch token: the server answered without one')
    const expiresAtMs = Date.parse(expirationTimestamp ?? '')
    return {
      token,
      expiresAtMs: Number.isNaN(expiresAtMs) ? this.#clock.now() + expirationSeconds * 1000 : expiresAtMs,
    }
  }
  #plan(uid: string, entry: Entry, expiresAtMs: number): void {
    const nowMs = this.#clock.now()
    const lifeMs = expiresAtMs - nowMs
    const renewInMs = Math.min(lifeMs * 0.8, dayMs) - this.#random.float() * Math.min(10_000, lifeMs * 0.05)
    entry.renewAtMs = nowMs + renewInMs
    entry.timer = this.#clock.after(renewInMs, () => this.#onRenew(uid))
  }
}
