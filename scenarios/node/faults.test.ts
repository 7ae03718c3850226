// What breaks under a running pod, on real containers: a killed process, a killed pause, a killed shim, a killed
// containerd, a vanished image, the whole machine. Each pod recovers as users expect, and no container runs twice.
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { Pod } from '../../src/api/core/pod.ts'
import { instanceOf } from '../../src/host/instance.ts'
import { mountsBelow } from '../../src/host/mounts.ts'
import { cox } from '../cli/cox.ts'
import { busyboxArchive } from '../images/busybox.ts'
import { isReady, type Kubectl, kubectlCluster, restarts } from '../kubectl/cluster.ts'
import { kill, podLeftovers, processes } from './host-view.ts'
import { able } from '../kubectl/binary.ts'
import { podOf } from './pods.ts'

describe.runIf(able)('what breaks under a pod', () => {
  let k: Kubectl
  let dataDir: string
  beforeAll(async () => {
    k = await kubectlCluster('faults')
    dataDir = dirname(k.env['KUBECONFIG'] ?? '')
  })
  afterAll(() => k?.remove())
  const marked = (mark: string) => `command: [sh, -c, "trap exit TERM; : ${mark}; sleep 100000 & wait"]`
  const running = (mark: string) => processes((command) => command.includes(`: ${mark};`))
  /** The container process of a sandbox's shim is pause. */
  const pauseOf = (uid: string): number[] => {
    const pids = processes((command) => command.trim() === '/pause')
    return pids.filter((pid) => readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(`pod${uid}`))
  }

  it('a killed process is started again at once, and told', async ({ expect }) => {
    await k.apply(podOf('shot', { c: marked('shot') }))
    await k.ready('shot')
    const startedMs = Date.now()
    kill(running('shot'))
    const pod = await k.podIs('shot', (p) => restarts(p) === 1 && isReady(p))
    // The first back-off would be ten seconds.
    expect(Date.now() - startedMs).toBeLessThan(10_000)
    expect(pod.status.containerStatuses?.[0]?.lastState?.terminated).toMatchObject({ exitCode: 137, reason: 'Error' })
    expect(running('shot')).toHaveLength(1)
  })
  it('a killed pause costs the pod its sandbox and address, not its place', async ({ expect }) => {
    await k.apply(podOf('uprooted', { c: marked('uprooted') }))
    const before = await k.ready('uprooted')
    kill(pauseOf(before.metadata.uid))
    const after = await k.podIs('uprooted', (p) => restarts(p) === 1 && isReady(p), 180_000)
    expect(after.metadata.uid).toBe(before.metadata.uid)
    expect(await k.events('uprooted')).toContain(
      'SandboxChanged: Pod sandbox changed, it will be killed and re-created.',
    )
    expect(running('uprooted')).toHaveLength(1)
    expect(pauseOf(before.metadata.uid)).toHaveLength(1)
  })
  it('a killed containerd comes back and finds its containers', async ({ expect }) => {
    await k.apply(podOf('surviving', { c: marked('surviving') }))
    const before = await k.ready('surviving')
    kill(processes((command) => command.startsWith('containerd --config') && command.includes(dataDir)))
    await k.apply(podOf('born-after', { c: marked('born-after') }))
    await k.ready('born-after', 180_000)
    const after = await k.ready('surviving')
    expect(after.status.containerStatuses?.[0]?.containerID).toBe(before.status.containerStatuses?.[0]?.containerID)
    expect(restarts(after)).toBe(0)
    expect(running('surviving')).toHaveLength(1)
  })
  it('a start that fails after a kill leaves what runs, and the next one finds it', async ({ expect }) => {
    await k.apply(podOf('spared', { c: marked('spared') }))
    const before = await k.ready('spared')
    const { pid } = JSON.parse(readFileSync(join(dataDir, 'cox.json'), 'utf8')) as { pid: number }
    kill([pid])
    const env = { COX_DATA_DIR: dataDir }
    const up = ['up', '--detach', '--yes', '--listen', '127.0.0.1:0']
    const damaged = join(dataDir, 'damaged')
    writeFileSync(damaged, '[]')
    const failed = await cox([...up, '--kubeconfig', damaged], { env })
    expect(failed.code).toBe(1)
    expect(failed.stderr).toContain('is not a kubeconfig')
    expect(running('spared')).toHaveLength(1)
    const { code, stderr } = await cox(up, { env })
    expect(code, stderr).toBe(0)
    const after = await k.ready('spared')
    expect(after.status.containerStatuses?.[0]?.containerID).toBe(before.status.containerStatuses?.[0]?.containerID)
    expect(restarts(after)).toBe(0)
    expect(running('spared')).toHaveLength(1)
  })
  it('a killed shim ends its containers, and the pod runs again', async ({ expect }) => {
    await k.apply(podOf('unshimmed', { c: marked('unshimmed') }))
    const before = await k.ready('unshimmed')
    const sandboxes = pauseOf(before.metadata.uid).map(
      (pid) => /([0-9a-f]{64})/.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '?',
    )
    kill(processes((command) => command.includes('containerd-shim') && sandboxes.some((id) => command.includes(id))))
    await k.podIs('unshimmed', (p) => restarts(p) >= 1 && isReady(p), 180_000)
    expect(running('unshimmed')).toHaveLength(1)
  })
  it('an image that vanishes beneath a pod is missed when its container starts again', async ({ expect }) => {
    const archive = join(dataDir, 'busybox.tar')
    writeFileSync(archive, await busyboxArchive())
    await k.apply(podOf('imageless', { c: marked('imageless') }))
    await k.ready('imageless')
    const { containerdSocket } = instanceOf(dataDir)
    const ctr = ['--address', containerdSocket, '--namespace', 'k8s.io', 'images']
    const held = execFileSync('ctr', [...ctr, 'list', '-q'], { encoding: 'utf8' }).split('\n')
    execFileSync('ctr', [...ctr, 'remove', '--sync', ...held.filter((name) => name.includes('busybox'))])
    expect(running('imageless'), 'what runs goes on').toHaveLength(1)
    kill(running('imageless'))
    const waits = (p: Pod) => p.status.containerStatuses?.[0]?.state?.waiting?.reason ?? ''
    await k.podIs('imageless', (p) => /^(ErrImagePull|ImagePullBackOff)$/.test(waits(p)), 180_000)
    const { code, stderr } = await cox(['image', 'load', archive], { env: { COX_DATA_DIR: dataDir } })
    expect(code, stderr).toBe(0)
    const pod = await k.podIs('imageless', (p) => isReady(p), 240_000)
    expect(restarts(pod)).toBe(1)
    expect(running('imageless')).toHaveLength(1)
  })
  it('a machine that boots again runs its pods again, each once', async ({ expect }) => {
    await k.apply(podOf('rebooted', { c: marked('rebooted') }))
    await k.apply(podOf('once', { c: marked('once') }, 'restartPolicy: Never'))
    await k.apply(podOf('done', { c: 'command: ["true"]' }, 'restartPolicy: Never'))
    const before = await k.ready('rebooted')
    await k.ready('once')
    await k.podIs('done', (p) => p.status.phase === 'Succeeded')
    powerOff(dataDir)
    expect(running('rebooted')).toEqual([])
    const up = ['up', '--detach', '--yes', '--listen', '127.0.0.1:0']
    const { code, stderr } = await cox(up, { env: { COX_DATA_DIR: dataDir } })
    expect(code, stderr).toBe(0)
    const after = await k.podIs('rebooted', (p) => restarts(p) === 1 && isReady(p), 240_000)
    expect(after.metadata.uid).toBe(before.metadata.uid)
    await k.podIs('once', (p) => p.status.phase === 'Failed', 120_000)
    expect((await k.pod('done')).status).toMatchObject({ phase: 'Succeeded', containerStatuses: [{ restartCount: 0 }] })
    expect([running('rebooted').length, running('once').length]).toEqual([1, 0])
    const [bootId] = (await k.ok(['get', 'nodes', '-o', 'jsonpath={.items[0].status.nodeInfo.bootID}'])).split('\n')
    expect(bootId).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
  })
  it('leaves nothing of pods that are deleted', async ({ expect }) => {
    await k.ok(['delete', 'pods', '--all'])
    // Of this cluster: others on the machine have processes of their own.
    expect(processes(() => true).filter(insideOf(dataDir))).toEqual([])
    const mounts = execFileSync('mount', { encoding: 'utf8' })
    expect(mounts.split('\n').filter((line) => line.includes(`${dataDir}/kubelet/pods/`))).toEqual([])
    // The API forgets a pod when nothing of it runs; its files follow.
    await expect.poll(() => readdirSync(`${dataDir}/kubelet/pods`), { timeout: 60_000 }).toEqual([])
    await expect.poll(() => podLeftovers(dataDir), { timeout: 200_000, interval: 1000 }).toEqual([])
  })
})

/** Ends everything of a data directory as the end of its machine would: no word to anybody, nothing in memory stays, and
 * the next start is another boot. */
function powerOff(dataDir: string): void {
  const { pid } = JSON.parse(readFileSync(join(dataDir, 'cox.json'), 'utf8')) as { pid: number }
  const ours = (command: string) => command.includes(dataDir) && /^(containerd |\S*containerd-shim)/.test(command)
  kill([pid, ...processes(ours)])
  kill(processes(() => true).filter(insideOf(dataDir)))
  const mounted = () => mountsBelow(join(dataDir, 'containerd', 'state')).toReversed()
  // One that containerd was taking away when it ended may be gone meanwhile.
  for (const { target } of mounted()) spawnSync('umount', ['-l', target])
  if (mounted().length > 0)
    throw new Error(
      `still mounted: ${mounted()
        .map(({ target }) => target)
        .join(', ')}`,
    )
  writeFileSync(join(dataDir, 'containerd', 'boot-id'), 'the boot before this one')
}
/** Whether a process runs in a pod of the cluster. */
function insideOf(dataDir: string): (pid: number) => boolean {
  const { cgroupRoot } = instanceOf(dataDir)
  return (pid) => cgroupOf(pid).includes(`${cgroupRoot}/`)
}
function cgroupOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, 'utf8')
  } catch (error) {
    // It ended meanwhile.
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH'].includes(String(error.code))) return ''
    throw error
  }
}
