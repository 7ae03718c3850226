// What scenarios look at on the machine itself: processes, and what of pods is left when all pods are gone.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { instanceOf } from '../../src/host/instance.ts'

export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch (error) {
    // It ended meanwhile.
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH'].includes(String(error.code))) return ''
    throw error
  }
}
/** Processes whose command line says so. */
export const processes = (matches: (command: string) => boolean): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => matches(commandOf(pid)))
/** KILL; what has ended already is fine. */
export function kill(pids: readonly number[]): void {
  for (const pid of pids)
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
}

const entries = (path: string): string[] => (existsSync(path) ? readdirSync(path) : [])

/** In words, all that pods of a data directory have left behind; for a moment in which the API has none. */
export async function podLeftovers(dataDir: string): Promise<string[]> {
  const instance = instanceOf(dataDir)
  const left: string[] = []
  for (const folder of ['kubelet/pods', 'logs/pods'])
    left.push(...entries(join(dataDir, folder)).map((name) => `${folder}/${name}`))
  for (const controller of entries('/sys/fs/cgroup'))
    for (const qos of ['', 'burstable', 'besteffort']) {
      const folder = join('/sys/fs/cgroup', controller, instance.cgroupRoot, 'kubepods', qos)
      left.push(...entries(folder).flatMap((name) => (name.startsWith('pod') ? [join(folder, name)] : [])))
    }
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const target = line.split(' ')[1] ?? ''
    if (!target.startsWith(`${dataDir}/`)) continue
    if (/\/kubelet\/pods\/|\/containerd\/state\/.*(netns\/|\/k8s\.io\/|sandboxes\/)/.test(target))
      left.push(`mount ${target}`)
  }
  left.push(
    ...processes((c) => c.includes('containerd-shim') && c.includes(instance.containerdSocket)).map((p) => `shim ${p}`),
  )
  const addresses = join(dataDir, 'cni', 'networks', instance.network)
  left.push(...entries(addresses).flatMap((name) => (/^\d+\.|:/.test(name) ? [`address ${name}`] : [])))
  const ctr = (...words: string[]) =>
    execFileSync('ctr', ['--address', instance.containerdSocket, '--namespace', 'k8s.io', ...words], {
      encoding: 'utf8',
    })
  left.push(
    ...ctr('containers', 'list', '-q')
      .split('\n')
      .filter(Boolean)
      .map((id) => `container ${id}`),
  )
  for (const line of ctr('snapshots', 'list').split('\n'))
    if (line.includes(' Active')) left.push(`snapshot ${line.split(' ')[0] ?? ''}`)
  return left
}
