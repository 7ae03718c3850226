// Processes of the machine by what they were started with: how a restarted cox finds the containerd of its data directory
// and how `down` finds what is left of it.
import { readdirSync, readFileSync } from 'node:fs'

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    // A process may leave while we look.
    if (error instanceof Error && 'code' in error) return undefined
    throw error
  }
}
/** Arguments of a process; undefined when it is gone, empty for a zombie or a kernel thread. */
export function argumentsOf(pid: number): readonly string[] | undefined {
  return read(`/proc/${pid}/cmdline`)?.split('\0').filter(Boolean)
}
/** Runs and is no zombie. */
export function isAlive(pid: number): boolean {
  if (process.platform !== 'linux') return answersSignals(pid)
  const state = /^State:\s+(\w)/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1]
  return state !== undefined && state !== 'Z' && state !== 'X'
}
const ticksPerSecond = 100
/** When a process was started, milliseconds since 1970, to the second; now, where it is gone. */
export function startOf(pid: number): number {
  // The name in brackets may hold anything; field 22 is the start in ticks since boot.
  const fields = read(`/proc/${pid}/stat`)?.replace(/^.*\)/s, '').trim().split(' ')
  const bootSeconds = Number(/^btime (\d+)$/m.exec(read('/proc/stat') ?? '')?.[1])
  const startMs = (bootSeconds + Number(fields?.[19]) / ticksPerSecond) * 1000
  return Number.isFinite(startMs) ? startMs : Date.now()
}
function answersSignals(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // EPERM: it is somebody else's, and lives.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
export function findProcesses(matches: (args: readonly string[]) => boolean): number[] {
  const found: number[] = []
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    const args = argumentsOf(pid)
    if (args !== undefined && args.length > 0 && matches(args)) found.push(pid)
  }
  return found
}
/** Sends a signal; a process that is gone already is fine. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
/** Resolves when the process is gone; false when it is still there after `timeoutMs`. */
export async function gone(pid: number, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs
  while (isAlive(pid)) {
    if (performance.now() > end) return false
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return true
}
