// Container logs do not grow without end: past the limit a log is renamed, the runtime opens a new one, and only so many
// old ones are kept. The rename is what a follower sees: it reads the old file to its end and goes on with the new one.
import { every, type Timer } from '../ports/clock.ts'
import type { Disk } from '../ports/disk.ts'
import type { KubeletContext } from './context.ts'

/** Names of the rotated logs beside `path`, oldest first. */
export async function rotatedLogs(disk: Disk, path: string): Promise<readonly string[]> {
  const slash = path.lastIndexOf('/')
  const [directory, name] = [path.slice(0, slash), path.slice(slash + 1)]
  const entries = (await disk.readdir(directory)) ?? []
  const names = entries.map((entry) => entry.name).filter((entry) => entry.startsWith(`${name}.`))
  return names.sort().map((entry) => `${directory}/${entry}`)
}

/** 20240131-120000.123 */
const stamp = (nowMs: number): string =>
  new Date(nowMs).toISOString().replaceAll('-', '').replaceAll(':', '').replace('T', '-').slice(0, -1)

export async function rotateLogs(context: KubeletContext): Promise<void> {
  const { view, disk, config, clock, runtime, log } = context
  for (const { id, state, logPath } of view.containers()) {
    if (state !== 'running' || logPath === '') continue
    const stat = await disk.stat(logPath)
    if (stat === undefined || stat.sizeBytes < config.containerLogMaxBytes) continue
    const old = await rotatedLogs(disk, logPath)
    // Of the files that may stay, one is the new log and one the log as it is now.
    const surplus = old.slice(0, Math.max(0, old.length - (config.containerLogMaxFiles - 2)))
    for (const path of surplus) await disk.remove(path)
    await disk.rename(logPath, `${logPath}.${stamp(clock.now())}`)
    try {
      await runtime.reopenContainerLog(id)
    } catch (error) {
      // Boundary: a container that ended meanwhile has nothing to reopen.
      log.debug('cannot reopen a container log', { container: id, error: String(error) })
    }
  }
}

export function startLogRotation(context: KubeletContext): Timer {
  return every(context.clock, context.config.containerLogMonitorMs, () =>
    rotateLogs(context).catch((error: unknown) => {
      // Boundary: tried again with the next round.
      context.log.warn('cannot rotate container logs', { error: String(error) })
    }),
  )
}

/** Removes a container's log with all that was rotated away. */
export async function removeLogs(context: KubeletContext, logPath: string): Promise<void> {
  if (logPath === '') return
  for (const path of await rotatedLogs(context.disk, logPath)) await context.disk.remove(path)
  await context.disk.remove(logPath)
}
