// A program that serves until a signal, in this process or in one of its own that is left running when it is ready.
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { machineGoesDown } from '../host/going-down.ts'
import { trimHeapWhenQuiet } from '../host/heap.ts'
import { systemClock } from '../host/system.ts'
import { CliError, note } from './command.ts'
import { ensureDataDir, logPath } from './data-dir.ts'
import { nowReady } from './loader.ts'

const detachedMark = 'COX_DETACHED'
/** This process is the one that was left running. */
export const isDetached = (): boolean => process.env[detachedMark] !== undefined

export interface Serving {
  readonly url: string
  /** Undefined where no node was started. */
  readonly nodeName: string | undefined
  /** Resolves when the node is Ready; rejects with why it is not. */
  readonly ready: Promise<void>
  /** It goes on with what an earlier run has left: what runs on the machine does not end with a start that fails. */
  readonly resumed: boolean
  /** 'remove' takes everything away that is on the machine; 'keep' leaves the pods running. */
  stop(pods: 'keep' | 'remove'): Promise<void>
  /** The machine goes down: ends the pods in order, within the times of the configuration. */
  shutdown(): Promise<void>
}
export interface Service {
  readonly dataDir: string
  start(onProgress: (text: string) => void): Promise<Serving>
  /** Tells the user that it is ready and what to do next. */
  sayReady(url: string, nodeName: string | undefined): void
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
const seconds = (startMs: number) => `${((performance.now() - startMs) / 1000).toFixed(1)} s`

/** What the detached process tells the one that waits for it. */
type Report =
  | { readonly type: 'progress'; readonly text: string }
  | { readonly type: 'ready'; readonly url: string; readonly nodeName: string | undefined }
  /** It serves, and its node is not Ready. */
  | { readonly type: 'late'; readonly text: string }
  | { readonly type: 'failed'; readonly message: string }

/** Serves in this process until a signal: Ctrl-C takes everything away, SIGTERM leaves the pods running, unless the machine
 * goes down: then they end in order. */
export async function serveHere(service: Service): Promise<number> {
  const startMs = performance.now()
  // Detached it is a file, and libraries print to it: a full disk must not end what serves.
  process.stderr.on('error', () => {})
  const report = (message: Report) => {
    if (process.send !== undefined && process.connected) process.send(message)
    else if (message.type === 'progress' || message.type === 'late') note(`cox: ${message.text} (${seconds(startMs)})`)
    else if (message.type === 'ready') service.sayReady(message.url, message.nodeName)
  }
  try {
    let stopped = (_how: 'keep' | 'remove' | 'shutdown') => {}
    const asked = new Promise<'keep' | 'remove' | 'shutdown'>((resolve) => {
      stopped = resolve
    })
    process.on('SIGINT', () => stopped('remove'))
    process.on('SIGTERM', () => void machineGoesDown().then((goes) => stopped(goes ? 'shutdown' : 'keep')))
    // What init sends when the power fails, and whoever takes a machine down by hand.
    process.on('SIGPWR', () => stopped('shutdown'))
    // A closed terminal ends nothing that it was not asked to end.
    process.on('SIGHUP', () => stopped('keep'))
    const serving = await service.start((text) => report({ type: 'progress', text }))
    const begun = (message: Report) => {
      report(message)
      if (process.connected) process.disconnect()
      nowReady()
      trimHeapWhenQuiet(systemClock)
      return asked
    }
    const how = await Promise.race([
      asked,
      serving.ready.then(
        () => begun({ type: 'ready', url: serving.url, nodeName: serving.nodeName }),
        async (error: unknown) => {
          // Pods that run need their agent, also while it cannot say that they do.
          if (serving.resumed) return begun({ type: 'late', text: `${messageOf(error)}; it goes on` })
          await serving.stop('remove')
          throw error
        },
      ),
    ])
    if (how === 'shutdown') await serving.shutdown()
    await serving.stop(how === 'remove' ? 'remove' : 'keep').catch((error: unknown) => {
      // What is still open would keep this process for ever, and "cox down" waits for its end.
      note(`cox: ${messageOf(error)}`)
      process.exit(1)
    })
    return 0
  } catch (error) {
    if (process.send === undefined || !process.connected) throw error
    const failed: Report = { type: 'failed', message: messageOf(error) }
    await new Promise((sent) => process.send?.(failed, sent))
    // What was begun may still have timers, and who waits for this process waits for its end.
    process.exit(1)
  }
}

/** glibc makes heaps of its own for threads, and what one of them has freed the others do not find: after a burst of requests
 * that was 30 to 45 MB of 200. It reads this when a process starts. */
const leanAllocation = { MALLOC_ARENA_MAX: '1' }

/** Starts the server as a process of its own and waits until it is ready, passing on what it says. */
export function detach(service: Service): Promise<number> {
  const { dataDir } = service
  const startMs = performance.now()
  ensureDataDir(dataDir)
  const logFile = openSync(logPath(dataDir), 'a', 0o600)
  const words = process.argv.slice(1).filter((word) => word !== '--detach' && word !== '-d')
  const child = spawn(process.execPath, [...process.execArgv, ...words], {
    detached: true,
    stdio: ['ignore', logFile, logFile, 'ipc'],
    env: { ...leanAllocation, ...process.env, [detachedMark]: '1' },
  })
  closeSync(logFile)
  return new Promise((resolve, reject) => {
    let failure: string | undefined
    child.on('message', (message: Report) => {
      if (message.type === 'progress') note(`cox: ${message.text} (${seconds(startMs)})`)
      else if (message.type === 'failed') failure = message.message
      else {
        if (message.type === 'late') note(`cox: ${message.text} (${seconds(startMs)})`)
        else service.sayReady(message.url, message.nodeName)
        child.unref()
        resolve(0)
      }
    })
    child.on('error', (error) => reject(new CliError(`cannot start the server: ${error.message}`)))
    child.on('exit', (code, by) => {
      reject(new CliError(failure ?? `the server ended (${by ?? code}); its log: ${logPath(dataDir)}`))
    })
    // Ctrl-C while it starts ends what was begun.
    process.on('SIGINT', () => child.kill('SIGINT'))
  })
}
