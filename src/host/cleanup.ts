// Takes away what a data directory has on the machine, whether its cox still runs, was killed, or never got far: pods,
// containerd and its shims, mounts, control groups, devices, packet rules. The data itself stays.
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Disk } from '../ports/disk.ts'
import { silentLog } from '../ports/log.ts'
import { createCgroups, findLayout, leftoverCgroups } from './cgroups.ts'
import { cniFolders } from './cni/cni-config.ts'
import { runningContainerd, shimsOf, startContainerd, stopContainerd } from './containerd/containerd.ts'
import { hugetlbMount } from './containerd/oci-runtimes.ts'
import { withOwner } from './cri/owned.ts'
import { createCriRuntime, type CriRuntime } from './cri/runtime.ts'
import { createDisk } from './disk.ts'
import type { Instance } from './instance.ts'
import { mountsBelow } from './mounts.ts'
import { keptPlan, releaseClaim } from './network-plan.ts'
import { routeProtocol, tunnelDeviceOf } from './pod-network.ts'
import { cniBinDir } from './requirements.ts'
import { createShell } from './shell.ts'
import { releaseUsualPaths } from './usual-paths.ts'

export interface CleanupOptions {
  readonly instance: Instance
  readonly onProgress: (text: string) => void
  /** A runtime that is not ours, by its address: our pods go, it stays. */
  readonly sharedRuntime?: string | undefined
  /** How long containers may take to stop by themselves. */
  readonly graceSeconds?: number
}

/** Needs root where there is anything to take away. Rejects when something of it stays. */
export async function removeNode(options: CleanupOptions): Promise<void> {
  const { instance, onProgress } = options
  // A simulated cluster has made nothing.
  if (!['containerd', 'cni'].some((name) => existsSync(join(instance.dataDir, name)))) return
  const shell = createShell()
  const disk = createDisk(shell)
  try {
    await removePods(options)
    if (runningContainerd(instance) !== undefined) onProgress('stopping containerd')
    await stopContainerd(instance)
    // A hierarchy of our own is emptied before it goes.
    await createCgroups(instance.cgroupRoot, findLayout(hugetlbMount(instance))).removeAll()
    await unmountAll(disk, instance)
    // Only the empty folder: in a mount that stayed it would find everybody's groups.
    if (existsSync(hugetlbMount(instance))) rmdirSync(hugetlbMount(instance))
    const tables = [instance.serviceTable, instance.podTable].map((t) => `table inet ${t} {}\ndelete table inet ${t}\n`)
    await shell.run('nft', ['-f', '-'], tables.join(''))
    await shell.run('sh', ['-c', removeDevices(instance)])
  } finally {
    shell.close()
  }
  for (const folder of [cniFolders(instance).addresses, join(instance.dataDir, 'containerd', 'state')])
    rmSync(folder, { recursive: true, force: true })
  forgetCniResults(instance)
  releaseClaim(instance)
  releaseUsualPaths(join(instance.dataDir, 'kubelet'))
  const left = leftovers(instance)
  if (left.length > 0) throw new Error(`not everything could be taken away: ${left.join(', ')}`)
}

/** What is mounted for us; the data directory itself may be a file system of the user's, which stays. */
const ownMounts = (instance: Instance): string[] =>
  [...mountsBelow(instance.dataDir), ...mountsBelow(hugetlbMount(instance))].flatMap(({ target }) =>
    target === instance.dataDir ? [] : [target],
  )

/** Mounts stand on each other, and taking one away may take others: look again until none is left. */
async function unmountAll(disk: Disk, instance: Instance): Promise<void> {
  for (let round = 0; round < 10; round++) {
    const targets = new Set(ownMounts(instance))
    if (targets.size === 0) return
    for (const target of [...targets].toReversed()) await disk.unmount(target)
  }
}

/** Our devices and routes; where there was none, the loopback device carries our address. */
function removeDevices(instance: Instance): string {
  const { dnsAddress: address, clusterCidr, six } = keptPlan(instance) ?? {}
  const announced = `ip address flush dev lo label lo:${instance.id}`
  const own = [address, six?.dnsAddress].flatMap((ip) => (ip === undefined ? [] : [ip]))
  const fromLoopback = [
    ...own.map((ip) => `ip address delete ${ip}/${ip.includes(':') ? 128 : 32} dev lo 2>/dev/null`),
    `${announced} 2>/dev/null`,
    'true',
  ].join('; ')
  const { device } = instance
  const exists = (name: string) => `ip link show dev ${name} >/dev/null 2>&1`
  const tunnel = tunnelDeviceOf(instance)
  return [
    `if ${exists(device)}; then ip link delete ${device}; else ${fromLoopback}; fi`,
    `if ${exists(tunnel)}; then ip link delete ${tunnel}; fi`,
    ...(clusterCidr === undefined ? [] : [`ip -4 route flush root ${clusterCidr} proto ${routeProtocol}`]),
    ...(six === undefined ? [] : [`ip -6 route flush root ${six.clusterCidr} proto ${routeProtocol}`]),
  ].join('\n')
}

/** Stops what runs through the runtime, which knows how: its network plugins are called, its mounts taken away. */
async function removePods(options: CleanupOptions): Promise<void> {
  const { instance, sharedRuntime } = options
  if (sharedRuntime !== undefined) {
    if (!existsSync(sharedRuntime.replace('unix://', ''))) return
    return stopAll(createCriRuntime({ address: sharedRuntime, log: silentLog }), options)
  }
  const state = join(instance.dataDir, 'containerd', 'state')
  const running = runningContainerd(instance) !== undefined
  const remains = shimsOf(instance).length > 0 || mountsBelow(state).length > 0
  if (!running && !remains) return
  const containerd = await startContainerd({
    instance,
    log: silentLog,
    cniBinDir: cniBinDir() ?? '/usr/lib/cni',
    cniConfDir: cniFolders(instance).confDir,
  })
  try {
    await stopAll(createCriRuntime({ address: containerd.address, log: silentLog }), options)
  } finally {
    containerd.release()
  }
}

/** What the runtime refuses to stop is told: our own runtime goes with all it has, another one keeps it. */
async function stopAll(everything: CriRuntime, options: CleanupOptions): Promise<void> {
  const { instance, onProgress, sharedRuntime, graceSeconds = 2 } = options
  const runtime = withOwner(everything, instance.id)
  const refused: string[] = []
  const attempt = async (what: string, call: () => Promise<void>): Promise<void> => {
    try {
      await call()
    } catch (error) {
      refused.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  try {
    const containers = (await runtime.listContainers()).filter((container) => container.state === 'running')
    if (containers.length > 0) onProgress(`stopping ${containers.length} containers`)
    await Promise.all(
      containers.map(({ id, metadata }) =>
        attempt(`container ${metadata.name}`, () => runtime.stopContainer(id, graceSeconds)),
      ),
    )
    const sandboxes = await runtime.listPodSandboxes()
    for (let at = 0; at < sandboxes.length; at += 8)
      await Promise.all(
        sandboxes.slice(at, at + 8).map(({ id, metadata }) =>
          attempt(`pod ${metadata.namespace}/${metadata.name}`, async () => {
            await runtime.stopPodSandbox(id)
            await runtime.removePodSandbox(id)
          }),
        ),
      )
  } finally {
    everything.close()
  }
  if (refused.length === 0) return
  if (sharedRuntime !== undefined) throw new Error(`${sharedRuntime} cannot end everything: ${refused.join('; ')}`)
  for (const complaint of refused) onProgress(`ending without the runtime, which refuses: ${complaint}`)
}

/** CNI's library keeps the results of its plugins in a folder that is everybody's. */
function forgetCniResults(instance: Instance): void {
  const folder = '/var/lib/cni/results'
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder))
    if (name.startsWith(`${instance.network}-`)) rmSync(join(folder, name), { force: true })
}

/** What of this data directory is still on the machine, in words; for tests and for whoever wants to be sure. */
export function leftovers(instance: Instance): string[] {
  const left: string[] = []
  if (runningContainerd(instance) !== undefined) left.push('containerd')
  left.push(...shimsOf(instance).map((pid) => `shim ${pid}`))
  left.push(...ownMounts(instance).map((target) => `mount ${target}`))
  left.push(...leftoverCgroups(instance.cgroupRoot))
  const devices = readFileSync('/proc/net/dev', 'utf8')
  for (const device of [instance.device, tunnelDeviceOf(instance)])
    if (devices.includes(`${device}:`)) left.push(`device ${device}`)
  return left
}
