// kill -9 in rounds: a child process writes, is killed at a random moment, and what it left is compared with what it had
// been promised. Nothing acknowledged may be missing, no transaction may be there by half, no revision may be out of order.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { openLmdbStore } from '../lmdb.ts'
import type { StoreEvent } from '../store.ts'
import { TestClock } from './test-clock.ts'

export interface CrashReport {
  readonly acknowledged: number
  /** What went wrong, one line each; empty is the point of it. */
  readonly faults: readonly string[]
}
interface Answered {
  readonly n: number
  readonly revision: number
}

/** Bundles the writer where its dependencies can be found; answers the path. */
export async function bundleWriter(): Promise<string> {
  const project = fileURLToPath(new URL('../../../', import.meta.url))
  const directory = `${project}node_modules/.cache/coxswain`
  mkdirSync(directory, { recursive: true })
  const outfile = `${directory}/crash-writer.mjs`
  await build({
    entryPoints: [fileURLToPath(new URL('./crash-writer.ts', import.meta.url))],
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    outfile,
    logLevel: 'error',
  })
  return outfile
}

/** Starts the writer; resolves when it has opened the store. `lines` collects what it says. */
export async function startWriter(
  script: string,
  directory: string,
  writers: number,
): Promise<{ child: ChildProcess; lines: string[]; exited: Promise<void> }> {
  const child = spawn(process.execPath, [script, directory, String(writers)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  let rest = ''
  let complaint = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint += chunk.toString()
  })
  const ready = new Promise<void>((done, failed) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split('\n')
      rest = parts.pop() ?? ''
      lines.push(...parts)
      if (lines.length > 0) done()
    })
    child.once('close', () => failed(new Error(`the writer ended: ${complaint}`)))
  })
  const exited = new Promise<void>((done) => child.once('close', () => done()))
  await ready
  return { child, lines, exited }
}

/** Runs `rounds` kills over one database, with 64 writers each. */
export async function crashRounds(options: {
  readonly directory: string
  readonly rounds: number
  /** Decides when each kill comes. */
  readonly seed: number
  readonly onRound?: (round: number, report: CrashReport) => void
}): Promise<CrashReport> {
  const script = await bundleWriter()
  const faults: string[] = []
  let acknowledged = 0
  let { seed } = options
  for (let round = 0; round < options.rounds; round++) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    const { child, lines, exited } = await startWriter(script, options.directory, 64)
    await new Promise((done) => setTimeout(done, 40 + (seed % 350)))
    child.kill('SIGKILL')
    await exited
    const promised = new Map<string, Answered>()
    for (const line of lines.slice(1)) {
      const [writer = '', n, revision] = line.split(' ')
      promised.set(writer, { n: Number(n), revision: Number(revision) })
      acknowledged++
    }
    faults.push(...(await inspect(options.directory, promised)).map((fault) => `round ${round}: ${fault}`))
    options.onRound?.(round, { acknowledged, faults })
  }
  return { acknowledged, faults }
}

async function inspect(directory: string, promised: ReadonlyMap<string, Answered>): Promise<string[]> {
  const store = await openLmdbStore({ directory, clock: new TestClock() })
  const faults: string[] = []
  const numberAt = async (key: string) => {
    const kv = await store.get(key)
    return { n: kv === undefined ? 0 : Number.parseInt(new TextDecoder().decode(kv.value), 10), at: kv?.modRevision }
  }
  for (let writer = 0; writer < 64; writer++) {
    const left = await numberAt(`/w/${writer}/left`)
    const right = await numberAt(`/w/${writer}/right`)
    if (left.n !== right.n || left.at !== right.at) faults.push(`writer ${writer}: half a transaction at ${left.at}`)
    const last = promised.get(String(writer))
    if (last !== undefined && left.n < last.n) faults.push(`writer ${writer}: ${last.n} acknowledged, found ${left.n}`)
    if (last !== undefined && left.n > last.n + 1) faults.push(`writer ${writer}: found ${left.n} after ${last.n}`)
    if (last !== undefined && left.n === last.n && left.at !== last.revision)
      faults.push(`writer ${writer}: revision ${last.revision} acknowledged, found ${left.at}`)
  }
  const history: { revision: number; events: readonly StoreEvent[] }[] = []
  await new Promise<void>((done, failed) => {
    const reached = (revision: number) => {
      if (revision >= store.currentRevision()) done()
    }
    store.watch('/', {
      fromRevision: store.compactedRevision() + 1,
      onEvents: (events, revision) => {
        history.push({ revision, events })
        reached(revision)
      },
      onProgress: reached,
      onError: failed,
    })
    if (store.currentRevision() === store.compactedRevision()) done()
  })
  history.forEach(({ revision, events }, i) => {
    if (events.length !== 2) faults.push(`revision ${revision} has ${events.length} writes of 2`)
    const before = history[i - 1]?.revision
    if (before !== undefined && before + 1 !== revision) faults.push(`revision ${revision} follows ${before}`)
  })
  await store.compact(store.currentRevision())
  await store.close()
  return faults
}
