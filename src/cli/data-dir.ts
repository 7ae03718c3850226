// The data directory: where a cluster keeps everything, and the small file that says who serves it now.
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { isAlive } from '../host/containerd/processes.ts'
import { CliError, type Invocation } from './command.ts'

export function dataDirOf(call: Invocation): string {
  const given = call.flag('data-dir') ?? process.env['COX_DATA_DIR']
  if (given !== undefined && given !== '') return resolve(given)
  if (process.getuid?.() === 0) return '/var/lib/coxswain'
  return join(process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share'), 'coxswain')
}
/** Makes the data directory where it is missing. Throws CliError when that is not possible. */
export function ensureDataDir(dataDir: string): void {
  try {
    makeDirectory(dataDir)
    accessSync(dataDir, constants.W_OK)
  } catch (error) {
    const why = error instanceof Error ? error.message.split(',')[0] : String(error)
    throw new CliError(`cannot write to the data directory ${dataDir} (${why}): name another with --data-dir`)
  }
}
/** With parents. Node's own recursion never ends where a file system (/proc) denies that a child may exist. */
function makeDirectory(path: string): void {
  if (existsSync(path)) return
  const parent = dirname(path)
  if (parent !== path) makeDirectory(parent)
  mkdirSync(path, { mode: 0o700 })
}
export const kubeconfigPath = (dataDir: string): string => join(dataDir, 'kubeconfig')
export const logPath = (dataDir: string): string => join(dataDir, 'cox.log')

/** What a running server says of itself. */
export interface RunState {
  readonly pid: number
  /** Start time of the process in clock ticks since boot: a pid alone may be somebody else's by now. */
  readonly startTicks: string
  /** up: control plane and node; server: control plane alone; agent: node alone. */
  readonly role: 'up' | 'server' | 'agent'
  readonly url: string
  readonly runtime: string
  readonly store: string
  readonly nodeName: string
  readonly startedAt: string
}
const statePath = (dataDir: string) => join(dataDir, 'cox.json')

/** Start time of a process from /proc; undefined where none runs. */
export function startTicksOf(pid: number): string | undefined {
  // Other systems tell less: there a living process of this number is taken for the one meant.
  if (process.platform !== 'linux') return isAlive(pid) ? 'alive' : undefined
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie has ended: only its parent has not looked yet.
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return undefined
    throw error
  }
}

export function writeRunState(dataDir: string, state: Omit<RunState, 'pid' | 'startTicks'>): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const whole: RunState = { pid: process.pid, startTicks: startTicksOf(process.pid) ?? '', ...state }
  const temporary = `${statePath(dataDir)}.${process.pid}`
  writeFileSync(temporary, `${JSON.stringify(whole)}\n`, { mode: 0o600 })
  renameSync(temporary, statePath(dataDir))
}
export const removeRunState = (dataDir: string): void => rmSync(statePath(dataDir), { force: true })

/** The last server's words; undefined when there never was one or it went in order. */
export function readRunState(dataDir: string): RunState | undefined {
  try {
    return JSON.parse(readFileSync(statePath(dataDir), 'utf8')) as RunState
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined
    if (error instanceof SyntaxError) return undefined
    if (error instanceof Error && 'code' in error && error.code === 'EACCES')
      throw new CliError(
        `${dataDir} belongs to another user: run as that user, or name another directory with --data-dir`,
      )
    throw error
  }
}
/** The running server of a data directory; undefined when none runs. */
export function runningServer(dataDir: string): RunState | undefined {
  const state = readRunState(dataDir)
  return state !== undefined && startTicksOf(state.pid) === state.startTicks ? state : undefined
}
/** Like runningServer; throws CliError when none runs. */
export function requireServer(dataDir: string): RunState {
  const state = runningServer(dataDir)
  if (state !== undefined) return state
  const flag = dataDir === '/var/lib/coxswain' ? '' : ` --data-dir ${dataDir}`
  throw new CliError(`no cluster runs in ${dataDir}: start one with "cox up${flag}"`)
}
