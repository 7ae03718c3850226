// An API server in a test: memory store, a clock that stands still until it is told, randomness from a counter, tokens
// that are their own claims.
import { builtinKinds } from '../../api/kinds.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { Identity, TokenClaims } from '../../ports/identity.ts'
import { type Log, silentLog } from '../../ports/log.ts'
import type { NodeDialer } from '../../ports/node-api.ts'
import type { Random } from '../../ports/random.ts'
import type { Transport, TransportRequest } from '../../ports/transport.ts'
import { openMemoryStore } from '../../store/memory.ts'
import type { Store } from '../../store/store.ts'
import type { ApiRequest, ApiResponse, UserInfo } from '../request.ts'
import { textOf } from '../storage/layout.ts'
import { type ApiServer, type ApiServerOptions, createApiServer } from '../server.ts'
import { wholeBody } from '../transport.ts'

export interface TestClock extends Clock {
  /** Moves time and fires what is due, in order. */
  advance(ms: number): void
}
export function testClock(startMs = Date.parse('2026-01-01T00:00:00Z')): TestClock {
  let now = startMs
  let timers: { at: number; run: () => void }[] = []
  return {
    now: () => now,
    monotonic: () => now - startMs,
    onSet: () => ({ cancel: () => {} }),
    after(delayMs, run): Timer {
      const timer = { at: now + delayMs, run }
      timers.push(timer)
      return { cancel: () => void (timers = timers.filter((t) => t !== timer)) }
    },
    advance(ms) {
      const until = now + ms
      for (;;) {
        const next = timers.filter((t) => t.at <= until).sort((a, b) => a.at - b.at)[0]
        if (next === undefined) break
        timers = timers.filter((t) => t !== next)
        now = Math.max(now, next.at)
        next.run()
      }
      now = until
    },
  }
}

/** A sequence that is the same every time. */
export function testRandom(seed = 1): Random {
  let state = seed
  const float = () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
  const bytes = (length: number) => Uint8Array.from({ length }, () => Math.floor(float() * 256))
  return {
    float,
    bytes,
    uuid: () => {
      const hex = [...bytes(16)].map((b) => b.toString(16).padStart(2, '0')).join('')
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`
    },
  }
}

/** Tokens are their claims in base64url with a fixed tail: for tests only. */
export function testIdentity(): Identity {
  const issuer = 'https://kubernetes.default.svc'
  return {
    ca: {
      certificatePem: '-----BEGIN CERTIFICATE-----\ntest\n-----END CERTIFICATE-----\n',
      sign: async () => '-----BEGIN CERTIFICATE-----\nsigned\n-----END CERTIFICATE-----\n',
      inspect: async () => ({
        commonName: 'test',
        organizations: [],
        dnsNames: [],
        ipAddresses: [],
        emailAddresses: [],
        uris: [],
      }),
    },
    tokens: {
      issuer,
      sign: async (claims) => `test.${btoa(JSON.stringify(claims))}.sig`,
      async verify(token) {
        const [head, body, tail] = token.split('.')
        return head === 'test' && tail === 'sig' && body !== undefined
          ? (JSON.parse(atob(body)) as TokenClaims)
          : undefined
      },
      jwks: async () => ({ keys: [] }),
    },
  }
}

export interface TestServer {
  readonly api: ApiServer
  readonly clock: TestClock
  readonly store: Store
  /** As system:masters, with JSON over the whole pipeline. */
  readonly call: (method: ApiRequest['method'], path: string, body?: unknown, options?: CallOptions) => Promise<Answer>
  /** The direct carrier, as system:masters. */
  readonly transport: Transport
}
export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly user?: UserInfo | null
  readonly request?: Partial<ApiRequest>
}
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  readonly json: Loose
  readonly response: ApiResponse
}
/** JSON of unknown shape that tests may look into. */
export interface Loose {
  readonly [key: string]: Loose
}

/** The text at a path; '' where there is none. */
export function textAt(json: Loose, ...path: readonly string[]): string {
  let value: unknown = json
  for (const key of path) value = (value as Loose | undefined)?.[key]
  return typeof value === 'string' ? value : typeof value === 'number' ? `${value}` : ''
}

export const admin: UserInfo = { name: 'admin', groups: ['system:masters', 'system:authenticated'] }
const noNodes: NodeDialer = {
  connect: () => Promise.reject(new Error('no nodes in this test')),
}

export async function testServer(
  options: Partial<ApiServerOptions> & { readonly log?: Log } = {},
): Promise<TestServer> {
  const clock = testClock()
  const store = options.store ?? openMemoryStore({ clock })
  const api = await createApiServer({
    store,
    kinds: builtinKinds,
    clock,
    random: testRandom(),
    identity: testIdentity(),
    nodes: noNodes,
    log: silentLog,
    ...options,
  })
  const transport = api.transport(admin)
  return {
    api,
    clock,
    store,
    transport,
    async call(method, path, body, more = {}) {
      const bytes =
        typeof body === 'string' ? new TextEncoder().encode(body) : new TextEncoder().encode(JSON.stringify(body))
      const response = await api.handle({
        method,
        path,
        headers: { 'content-type': 'application/json', ...more.headers },
        ...(more.user === null ? {} : { user: more.user ?? admin }),
        ...(body === undefined ? {} : { body: wholeBody(bytes) }),
        ...more.request,
      })
      const text = response.kind === 'bytes' ? textOf(response.body) + textOf(response.rest ?? new Uint8Array()) : ''
      const isJson = text.startsWith('{')
      return {
        status: response.kind === 'upgrade' ? 101 : response.status,
        headers: response.headers,
        text,
        json: (isJson ? JSON.parse(text) : {}) as Loose,
        response,
      }
    },
  }
}

/** Watch events of an answer, read as they are asked for. */
export class WatchReader {
  readonly events: { readonly type: string; readonly object: Loose }[] = []
  ended = false
  private readonly waiters: { readonly count: number; readonly done: () => void }[] = []
  private readonly handle: { close(): void; drained(): void }
  constructor(response: ApiResponse) {
    if (response.kind !== 'stream') throw new Error(`no stream: ${JSON.stringify(response)}`)
    this.handle = response.open({
      write: (chunk) => {
        for (const line of new TextDecoder().decode(chunk).split('\n'))
          if (line !== '') this.events.push(JSON.parse(line) as { type: string; object: Loose })
        this.wake()
        return true
      },
      end: () => {
        this.ended = true
        this.wake()
      },
    })
  }
  /** Resolves when at least `count` events are there. */
  until(count: number): Promise<void> {
    return new Promise((done) => {
      this.waiters.push({ count, done })
      this.wake()
    })
  }
  get types(): string[] {
    return this.events.map((e) => `${e.type} ${textAt(e.object, 'metadata', 'name')}`)
  }
  close(): void {
    this.handle.close()
  }
  private wake(): void {
    for (const waiter of this.waiters.splice(0)) {
      if (this.events.length >= waiter.count || this.ended) waiter.done()
      else this.waiters.push(waiter)
    }
  }
}

export const configMap = (name: string, data: Readonly<Record<string, string>> = {}, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...more },
  data,
})
export const podManifest = (name: string, more: { metadata?: object; spec?: object } = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...more.metadata },
  spec: { containers: [{ name: 'c', image: 'busybox' }], ...more.spec },
})

/** One request on a transport, its answer's object. */
export async function send(transport: Transport, request: TransportRequest): Promise<Loose> {
  const response = await transport.send(request)
  return response.object as Loose
}
