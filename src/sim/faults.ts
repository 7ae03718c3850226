// Faults by rule: which call of which port fails, how often, and how. Ports are wrapped, so what is tested does not know;
// luck comes from the seed, so a failure can be had again.
import type { ContainerRuntime } from '../ports/container-runtime.ts'
import { type Disk, DiskError } from '../ports/disk.ts'
import { type Transport, TransportError } from '../ports/transport.ts'
import type { SeededRandom } from './seeded-random.ts'

export interface FaultRule {
  readonly port: 'runtime' | 'disk' | 'api'
  /** Name of the method (`startContainer`, `writeFile`) or of the HTTP verb; absent: every one. */
  readonly operation?: string
  /** Only on this node; absent: on every one. */
  readonly node?: string
  /** Of the calls, 0 to 1. Default: all. */
  readonly probability?: number
  /** Ends after so many faults. Default: never. */
  readonly times?: number
  /** The error's message, or errno's name for disks. */
  readonly error?: string
  /** api: the request is carried out and its answer is lost. Default: it never arrives. */
  readonly afterwards?: boolean
}

export class Faults {
  private readonly random: SeededRandom
  private rules: { readonly rule: FaultRule; left: number }[] = []
  /** How many faults there were. */
  count = 0

  constructor(random: SeededRandom) {
    this.random = random
  }

  /** Adds a rule; answers a function that takes it away. */
  add(rule: FaultRule): () => void {
    const entry = { rule, left: rule.times ?? Number.POSITIVE_INFINITY }
    this.rules = [...this.rules, entry]
    return () => {
      this.rules = this.rules.filter((other) => other !== entry)
    }
  }
  clear(): void {
    this.rules = []
  }

  runtime(runtime: ContainerRuntime, node: string): ContainerRuntime {
    return this.wrap(runtime, (operation) => {
      const rule = this.strike('runtime', operation, node)
      return rule === undefined
        ? undefined
        : new Error(rule.error ?? `rpc error: code = Unknown desc = simulated fault in ${operation}`)
    })
  }
  disk(disk: Disk, node: string): Disk {
    return this.wrap(disk, (operation, path) => {
      const rule = this.strike('disk', operation, node)
      if (rule === undefined) return undefined
      const code = rule.error ?? 'EIO'
      return new DiskError(code, `${operation} ${String(path)}: simulated fault`)
    })
  }
  transport(transport: Transport, node: string): Transport {
    return {
      ...transport,
      send: async (request) => {
        const rule = this.strike('api', request.method, node)
        if (rule === undefined) return transport.send(request)
        if (rule.afterwards === true) await transport.send(request)
        throw new TransportError(rule.error ?? 'simulated fault: connection reset by peer')
      },
    }
  }

  private strike(port: FaultRule['port'], operation: string, node: string): FaultRule | undefined {
    for (const entry of this.rules) {
      const { rule } = entry
      if (rule.port !== port || entry.left <= 0) continue
      if (rule.operation !== undefined && rule.operation !== operation) continue
      if (rule.node !== undefined && rule.node !== node) continue
      if (rule.probability !== undefined && this.random.float() >= rule.probability) continue
      entry.left--
      this.count++
      return rule
    }
    return undefined
  }

  /** Every asynchronous method may fail instead of running. */
  private wrap<T extends object>(target: T, fault: (operation: string, first: unknown) => Error | undefined): T {
    return new Proxy(target, {
      get: (object, name) => {
        const member: unknown = Reflect.get(object, name, object)
        if (typeof member !== 'function' || typeof name !== 'string' || name.startsWith('watch')) return member
        return (...args: readonly unknown[]): unknown => {
          const error = fault(name, args[0])
          return error === undefined ? Reflect.apply(member, object, args) : Promise.reject(error)
        }
      },
    })
  }
}

/** A node's way to the API, which can be cut and mended: what is under way breaks, watches included. */
export class Link {
  private cut = new AbortController()
  private isUp = true

  get up(): boolean {
    return this.isUp
  }
  down(): void {
    if (!this.isUp) return
    this.isUp = false
    this.cut.abort()
  }
  mend(): void {
    if (this.isUp) return
    this.isUp = true
    this.cut = new AbortController()
  }

  /** A transport that goes over this link. */
  over(inner: Transport): Transport {
    return {
      send: async (request) => {
        if (!this.isUp) throw new TransportError('dial tcp: connect: network is unreachable')
        const { signal } = this.cut
        const combined = request.signal === undefined ? signal : AbortSignal.any([signal, request.signal])
        const answer = await inner.send({ ...request, signal: combined })
        if (signal.aborted) throw new TransportError('read tcp: connection reset by peer')
        return answer
      },
    }
  }
}
