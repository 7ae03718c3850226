// What the nodes of one simulation share: the registry that images come from, the network between pods, how long things
// take, and the source of luck.
import type { Clock } from '../ports/clock.ts'
import type { HttpProbeAnswer } from '../ports/prober.ts'
import { commandScript, type ContainerScript, type Script } from './script.ts'
import type { SimDriver } from './sim-drivers.ts'
import type { SeededRandom } from './seeded-random.ts'

export interface SimImage {
  /** What its containers do. Default: commandScript. */
  readonly script?: Script
  readonly sizeBytes?: number
  readonly pullMs?: number
  /** The registry refuses: with the words of a runtime. */
  readonly pullError?: {
    readonly kind: 'not-found' | 'unavailable' | 'unauthorized' | 'other'
    readonly message: string
  }
  /** User of the image's config; undefined where it names one that is not a number. */
  readonly uid?: number
}
export interface Latencies {
  readonly sandboxMs: number
  readonly createMs: number
  readonly startMs: number
  readonly pullMs: number
  /** Each latency is drawn between itself and itself times (1 + jitter). */
  readonly jitter: number
}
export const defaultLatencies: Latencies = { sandboxMs: 120, createMs: 20, startMs: 40, pullMs: 1500, jitter: 0.25 }

/** Something that listens in the pod network: the containers of one sandbox. */
export interface Listener {
  /** Scripts of its running containers, with how long each has run. */
  running(): Iterable<{ readonly script: ContainerScript; readonly uptimeMs: number }>
}

export interface SimWorldOptions {
  readonly clock: Clock
  readonly random: SeededRandom
  readonly latencies?: Partial<Latencies>
  /** False: only images that were given with `image()` can be pulled. Default: true. */
  readonly anyImage?: boolean
}

export class SimWorld {
  readonly clock: Clock
  readonly random: SeededRandom
  latencies: Latencies
  private readonly anyImage: boolean
  private readonly images = new Map<string, SimImage>()
  private readonly listeners = new Map<string, Listener>()
  private readonly drivers = new Map<string, SimDriver>()
  private readonly driverWatchers = new Set<(name: string, here: boolean) => void>()
  /** Nodes whose network is cut: nothing reaches their pods from other nodes. */
  readonly cutNodes = new Set<string>()
  private nodes = 0

  constructor(options: SimWorldOptions) {
    this.clock = options.clock
    this.random = options.random
    this.latencies = { ...defaultLatencies, ...options.latencies }
    this.anyImage = options.anyImage ?? true
  }

  /** Puts an image into the registry, or changes what it does from its next start on. */
  image(reference: string, image: SimImage | Script): void {
    this.images.set(fullName(reference), typeof image === 'function' ? { script: image } : image)
  }
  /** What the registry answers; undefined when it has no such image. */
  lookUp(reference: string): SimImage | undefined {
    return this.images.get(fullName(reference)) ?? (this.anyImage ? {} : undefined)
  }
  scriptOf(reference: string): Script {
    return this.lookUp(reference)?.script ?? commandScript
  }

  /** Puts a driver of devices on every node. Without one, pods whose claims it was to make ready wait. */
  driver(name: string, driver: SimDriver = () => undefined): void {
    const had = this.drivers.has(name)
    this.drivers.set(name, driver)
    if (!had) for (const tell of this.driverWatchers) tell(name, true)
  }
  removeDriver(name: string): void {
    if (this.drivers.delete(name)) for (const tell of this.driverWatchers) tell(name, false)
  }
  driverOf(name: string): SimDriver | undefined {
    return this.drivers.get(name)
  }
  /** Tells of every driver, now and later, with whether it is there. */
  watchDrivers(tell: (name: string, here: boolean) => void): () => void {
    this.driverWatchers.add(tell)
    for (const name of this.drivers.keys()) tell(name, true)
    return () => this.driverWatchers.delete(tell)
  }

  /** Number of the next node, from 1: for names and addresses. */
  nextNode(): number {
    return ++this.nodes
  }
  /** How long something takes this time. */
  latency(what: keyof Omit<Latencies, 'jitter'>, override?: number): number {
    const base = override ?? this.latencies[what]
    return Math.round(base * (1 + this.latencies.jitter * this.random.float()))
  }

  listen(ip: string, listener: Listener): void {
    this.listeners.set(ip, listener)
  }
  unlisten(ip: string): void {
    this.listeners.delete(ip)
  }

  /** A GET against a pod's address. */
  http(host: string, port: number, path: string): HttpProbeAnswer & { readonly delayMs: number } {
    for (const { script, uptimeMs } of this.listeners.get(host)?.running() ?? []) {
      const answer = script.http === undefined ? { status: 200, body: 'ok' } : script.http({ port, path }, uptimeMs)
      if (answer === undefined) continue
      const { status, body = '', delayMs = 0, headers } = answer
      return { ok: true, status, location: headers?.['location'], body, delayMs }
    }
    return { ...this.noAnswer(host), delayMs: 0 }
  }
  tcp(host: string, port: number): { readonly ok: true } | ReturnType<SimWorld['noAnswer']> {
    for (const { script, uptimeMs } of this.listeners.get(host)?.running() ?? []) {
      const open = script.tcp?.(port, uptimeMs) ?? script.http?.({ port, path: '/' }, uptimeMs) !== undefined
      const silent = script.tcp === undefined && script.http === undefined
      if (open || silent) return { ok: true }
    }
    return this.noAnswer(host)
  }
  grpc(host: string, port: number, service: string): 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN' | undefined {
    for (const { script, uptimeMs } of this.listeners.get(host)?.running() ?? []) {
      const status = script.grpc === undefined ? 'SERVING' : script.grpc(port, service, uptimeMs)
      if (status !== undefined) return status
    }
    return undefined
  }
  noAnswer(host: string) {
    return this.listeners.has(host)
      ? ({ ok: false, kind: 'refused', message: 'connect: connection refused' } as const)
      : ({ ok: false, kind: 'unreachable', message: 'connect: no route to host' } as const)
  }
}

/** "nginx" is docker.io/library/nginx:latest. */
export function fullName(reference: string): string {
  const [path = '', digest] = reference.split('@')
  const slash = path.lastIndexOf('/')
  const colon = path.indexOf(':', slash + 1)
  const name = colon < 0 ? path : path.slice(0, colon)
  const tag = colon < 0 ? (digest === undefined ? ':latest' : '') : path.slice(colon)
  const first = name.split('/')[0] ?? ''
  const hasHost = name.includes('/') && (first.includes('.') || first.includes(':') || first === 'localhost')
  const host = hasHost ? '' : name.includes('/') ? 'docker.io/' : 'docker.io/library/'
  return `${host}${name}${tag}${digest === undefined ? '' : `@${digest}`}`
}
