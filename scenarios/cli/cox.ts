// Runs the built `cox` as a user does, each cluster in a data directory of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const program = resolve('dist/cox.js')

export interface Result {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}
export interface RunOptions {
  readonly input?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  /** What stands before node on the command line: setpriv, timeout ... */
  readonly prefix?: readonly string[]
}
export function start(args: readonly string[], options: RunOptions = {}): ChildProcess & { done: Promise<Result> } {
  const [file = process.execPath, ...rest] = [...(options.prefix ?? []), process.execPath, program, ...args]
  const child = spawn(file, rest, { env: { ...process.env, ...options.env }, stdio: 'pipe' })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  // A program that does not read its input closes it.
  child.stdin.on('error', () => child.stdin.destroy())
  child.stdin.end(options.input ?? '')
  const done = new Promise<Result>((resolveResult, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolveResult({ code, stdout, stderr }))
  })
  return Object.assign(child, { done })
}
export const cox = (args: readonly string[], options: RunOptions = {}): Promise<Result> => start(args, options).done

export interface TestCluster {
  readonly dataDir: string
  run(args: readonly string[], options?: RunOptions): Promise<Result>
  start(args: readonly string[], options?: RunOptions): ReturnType<typeof start>
  /** kill -9 of the running server; resolves when it is gone. */
  kill(): Promise<void>
  /** Ends the cluster and removes its directory. */
  remove(): Promise<void>
}
/** A data directory; nothing runs in it yet. */
export function testCluster(name = 'scenario'): TestCluster {
  const dataDir = mkdtempSync(join(tmpdir(), `cox-${name}-`))
  const place = { COX_DATA_DIR: dataDir }
  const within = (options: RunOptions = {}): RunOptions => ({ ...options, env: { ...options.env, ...place } })
  return {
    dataDir,
    run: (args, options) => cox(args, within(options)),
    start: (args, options) => start(args, within(options)),
    async kill() {
      const { pid } = JSON.parse(readFileSync(join(dataDir, 'cox.json'), 'utf8')) as { pid: number }
      process.kill(pid, 'SIGKILL')
      while (!(await cox(['status'], within())).stderr.includes('no cluster runs'));
    },
    async remove() {
      if (!existsSync(dataDir)) return
      const { code, stderr } = await cox(['down'], within())
      if (code !== 0) throw new Error(`cox down failed: ${stderr}`)
      rmSync(dataDir, { recursive: true })
    },
  }
}

/** A port of the loopback device that is held until `close`. */
export async function takenPort(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = net.createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return { port, close: () => new Promise((done) => server.close(() => done())) }
}
