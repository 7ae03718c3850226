// What breaks under a running pod, on real containers: a killed process, a killed pause, a killed shim, a killed
// containerd. Each pod recovers as users expect, and no container runs twice.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { isReady, type Kubectl, kubectlCluster, restarts } from '../kubectl/cluster.ts'
import { kill, processes } from './host-view.ts'
import { able, podOf } from './pods.ts'

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
    expect(Date.now() - startedMs).toBeLessThan(5000)
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
  it('leaves nothing of pods that are deleted', async ({ expect }) => {
    await k.ok(['delete', 'pods', '--all'])
    expect(processes((command) => command.includes('sleep 100000'))).toEqual([])
    const mounts = execFileSync('mount', { encoding: 'utf8' })
    expect(mounts.split('\n').filter((line) => line.includes(`${dataDir}/kubelet/pods/`))).toEqual([])
    // The API forgets a pod when nothing of it runs; its files follow.
    await expect.poll(() => readdirSync(`${dataDir}/kubelet/pods`), { timeout: 60_000 }).toEqual([])
  })
})
