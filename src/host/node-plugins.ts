// The NodePlugins port: sockets in a folder, and the gRPC of drivers behind them, v1 and v1beta1. A killed driver leaves its
// sockets behind, so the connection to it is held and watched.
import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs'
import { join } from 'node:path'
import { type Clock, sleep, type Timer } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { NodePlugin, NodePlugins, PluginListener } from '../ports/node-plugins.ts'
import { createGrpcClient, type GrpcClient } from './wire/grpc.ts'
import { bool, list, message, nested, string, strings } from './wire/protobuf.ts'

const empty = message({})
const registration = (name: string) => `/pluginregistration.Registration/${name}`

/** The calls by name, with the interface's own field numbers. */
export const registrationApi = {
  info: {
    path: registration('GetInfo'),
    request: empty,
    response: message({ type: string(1), name: string(2), endpoint: string(3), versions: strings(4) }),
  },
  notify: {
    path: registration('NotifyRegistrationStatus'),
    request: message({ registered: bool(1), error: string(2) }),
    response: empty,
  },
} as const

const claims = message({ claims: list(1, message({ namespace: string(1), uid: string(2), name: string(3) })) })
const device = message({
  requests: strings(1),
  pool: string(2),
  device: string(3),
  cdiDevices: strings(4),
  shareId: string(5),
})
const prepared = message({ devices: list(1, device), error: string(2) })
const done = message({ error: string(1) })

const driverVersions = ['v1', 'v1beta1'] as const
/** The calls of a driver in one version. */
export const driverApi = (version: (typeof driverVersions)[number]) => {
  const path = (name: string) => `/k8s.io.kubelet.pkg.apis.dra.${version}.DRAPlugin/${name}`
  return {
    prepare: {
      path: path('NodePrepareResources'),
      request: claims,
      response: message({ claims: list(1, message({ uid: string(1), answer: nested(2, prepared) })) }),
    },
    unprepare: {
      path: path('NodeUnprepareResources'),
      request: claims,
      response: message({ claims: list(1, message({ uid: string(1), answer: nested(2, done) })) }),
    },
  } as const
}

const askMs = 10_000
/** A driver may load firmware: as long as upstream gives it. */
const driverMs = 45_000
const firstRetryMs = 500
const lastRetryMs = 30_000
/** Shorter than a kubelet waits for a driver that is restarting. */
const lastReconnectMs = 10_000

/** One socket: asked until it has registered, forgotten when its file is gone. */
class Socket {
  readonly identity: string
  plugin: NodePlugin | undefined
  readonly #path: string
  readonly #listener: PluginListener
  readonly #options: NodePluginsOptions
  #closed = false
  #timer: Timer | undefined
  #retryMs = firstRetryMs
  constructor(path: string, identity: string, listener: PluginListener, options: NodePluginsOptions) {
    this.identity = identity
    this.#path = path
    this.#listener = listener
    this.#options = options
    void this.#ask()
  }
  close(gone: boolean): void {
    this.#closed = true
    this.#timer?.cancel()
    if (gone && this.plugin !== undefined) this.#listener.gone(this.plugin)
  }
  /** Boundary: a plugin that does not answer well is asked again, later and later. */
  async #ask(): Promise<void> {
    const { log, clock } = this.#options
    const client = createGrpcClient(`unix://${this.#path}`)
    try {
      const { endpoint, ...info } = await client.call(registrationApi.info, {}, { timeoutMs: askMs })
      const plugin: NodePlugin = { ...info, endpoint: endpoint === '' ? this.#path : endpoint }
      let error = ''
      try {
        await this.#listener.register(plugin)
        this.plugin = plugin
      } catch (failure) {
        error = failure instanceof Error ? failure.message : String(failure)
      }
      if (this.#closed && this.plugin !== undefined) return this.#listener.gone(this.plugin)
      await client.call(registrationApi.notify, { registered: error === '', error }, { timeoutMs: askMs })
      if (error !== '') throw new Error(error)
      log.info('a plugin registered', { type: plugin.type, name: plugin.name, endpoint: plugin.endpoint })
    } catch (error) {
      if (this.#closed) return
      if (this.plugin !== undefined) this.#listener.gone(this.plugin)
      this.plugin = undefined
      log.warn('a plugin did not register', { socket: this.#path, error: String(error) })
      this.#timer = clock.after(this.#retryMs, () => void this.#ask())
      this.#retryMs = Math.min(lastRetryMs, this.#retryMs * 2)
    } finally {
      client.close()
    }
  }
}

export interface NodePluginsOptions {
  readonly clock: Clock
  readonly log: Log
}

/** Holds the connection to a driver and says when it stands and when it broke, until the client is closed. Boundary: a
 * driver that is not reached is tried again, later and later. */
async function holdConnection(
  { name, endpoint }: NodePlugin,
  client: GrpcClient,
  tell: (connected: boolean) => void,
  { clock, log, signal }: NodePluginsOptions & { readonly signal: AbortSignal },
): Promise<void> {
  let retryMs = firstRetryMs
  while (!signal.aborted) {
    try {
      const { lost } = await client.connected(askMs)
      if (signal.aborted) return
      retryMs = firstRetryMs
      tell(true)
      await lost
      if (signal.aborted) return
      tell(false)
      log.warn('the connection to a driver of devices broke', { name, endpoint })
    } catch (error) {
      if (signal.aborted) return
      if (retryMs === firstRetryMs)
        log.warn('a driver of devices is not reached', { name, endpoint, error: String(error) })
    }
    await sleep(clock, retryMs, signal)
    retryMs = Math.min(lastReconnectMs, retryMs * 2)
  }
}

export function createNodePlugins(options: NodePluginsOptions): NodePlugins {
  return {
    watch(directory, listener) {
      const sockets = new Map<string, Socket>()
      /** A socket that was removed and made again is another one, whether or not the file system gave it the inode anew. */
      const look = () => {
        const found = new Map<string, string>()
        for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
          const path = join(entry.parentPath, entry.name)
          if (!entry.isSocket() || entry.name.startsWith('.')) continue
          const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
          if (stat !== undefined) found.set(path, `${stat.ino} of ${stat.mtimeNs}`)
        }
        for (const [path, socket] of sockets)
          if (found.get(path) !== socket.identity) {
            sockets.delete(path)
            socket.close(true)
          }
        for (const [path, identity] of found)
          if (!sockets.has(path)) sockets.set(path, new Socket(path, identity, listener, options))
      }
      const watcher: FSWatcher = watch(directory, look)
      watcher.on('error', (error) => options.log.warn('cannot watch for plugins', { directory, error: String(error) }))
      look()
      return Promise.resolve({
        close() {
          watcher.close()
          for (const socket of sockets.values()) socket.close(false)
        },
      })
    },
    driver(plugin, onConnection) {
      const { name, endpoint, versions } = plugin
      const version = driverVersions.find((v) => versions.includes(`${v}.DRAPlugin`))
      if (version === undefined)
        throw new Error(
          `DRA driver ${name} offers ${versions.join(', ') || 'no version'}; supported are ${driverVersions.map((v) => `${v}.DRAPlugin`).join(' and ')}`,
        )
      const api = driverApi(version)
      const client = createGrpcClient(`unix://${endpoint}`)
      const closing = new AbortController()
      void holdConnection(plugin, client, onConnection, { ...options, signal: closing.signal })
      const failure = (error: string | undefined) => new Error(error ?? 'the driver answered nothing for the claim')
      return {
        async prepare(wanted) {
          const answer = await client.call(api.prepare, { claims: wanted }, { timeoutMs: driverMs })
          return new Map(
            answer.claims.map(({ uid, answer: one }) => [
              uid,
              one === undefined || one.error !== '' ? failure(one?.error) : one.devices,
            ]),
          )
        },
        async unprepare(wanted) {
          const answer = await client.call(api.unprepare, { claims: wanted }, { timeoutMs: driverMs })
          // An answer without an error is an empty message, which proto3 may leave out of its entry.
          return new Map(
            answer.claims.map(({ uid, answer: one }) => [
              uid,
              one === undefined || one.error === '' ? undefined : failure(one.error),
            ]),
          )
        },
        close() {
          closing.abort()
          client.close()
        },
      }
    },
  }
}
