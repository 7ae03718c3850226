// P18 and user namespaces, beyond the plain users and capabilities: profiles, group policies, read-only mounts, and what a
// runtime that lacks a feature makes of a pod that asks for it.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { Node } from '../../src/api/core/node.ts'
import { type Kubectl, kubectlCluster, waitingReason } from '../kubectl/cluster.ts'
import { able } from '../kubectl/binary.ts'
import { podOf } from './pods.ts'

describe.runIf(able).concurrent('the security of a pod', () => {
  let k: Kubectl
  let dataDir: string
  let folder: string
  let status: NonNullable<Node['status']>
  beforeAll(async () => {
    k = await kubectlCluster('security')
    dataDir = dirname(k.env['KUBECONFIG'] ?? '')
    folder = mkdtempSync(join(tmpdir(), 'cox-security-'))
    const list = JSON.parse(await k.ok(['get', 'nodes', '-o', 'json'])) as { items: Node[] }
    const [node] = list.items
    if (node?.status === undefined) throw new Error('no node')
    status = node.status
  })
  afterAll(async () => {
    await k?.remove()
    if (folder !== undefined) rmSync(folder, { recursive: true })
  })
  const handler = () => status.runtimeHandlers?.find(({ name }) => name === '')?.features

  it('P18: capabilities, privileges and seccomp, one by one', async ({ expect }) => {
    await k.apply(
      podOf('contained', {
        plain: '',
        adds: 'securityContext: {capabilities: {add: [NET_ADMIN]}}',
        drops: 'securityContext: {capabilities: {drop: [ALL]}}',
        privileged: 'securityContext: {privileged: true}',
        default: 'securityContext: {seccompProfile: {type: RuntimeDefault}}',
      }),
    )
    await k.ready('contained')
    const of = async (container: string, field: string) => {
      const text = await k.sh('contained', 'cat /proc/1/status', container)
      return new RegExp(`^${field}:\\t(\\S+)$`, 'm').exec(text)?.[1]
    }
    const netAdmin = 1n << 12n
    const capabilities = async (container: string) => BigInt(`0x${(await of(container, 'CapEff')) ?? ''}`)
    expect((await capabilities('plain')) & netAdmin).toBe(0n)
    expect((await capabilities('adds')) & netAdmin).toBe(netAdmin)
    expect(await capabilities('drops')).toBe(0n)
    expect((await capabilities('privileged')) & (1n << 21n)).not.toBe(0n)
    expect(await of('plain', 'Seccomp')).toBe('0')
    expect(await of('default', 'Seccomp')).toBe('2')
    expect(await k.sh('contained', 'ls /dev/kmsg', 'privileged')).toBe('/dev/kmsg\n')
    expect((await k.run(['exec', 'contained', '-c', 'plain', '--', 'ls', '/dev/kmsg'])).code).toBe(1)
  })
  it('P18: a seccomp profile of the node', async ({ expect }) => {
    const profiles = join(dataDir, 'kubelet', 'seccomp')
    mkdirSync(profiles, { recursive: true })
    const rule = { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }
    writeFileSync(
      join(profiles, 'no-mkdir.json'),
      JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule] }),
    )
    const profile = (name: string) => `securityContext: {seccompProfile: {type: Localhost, localhostProfile: ${name}}}`
    await k.apply(podOf('profiled', { c: profile('no-mkdir.json') }))
    await k.apply(podOf('unprofiled', { c: profile('absent.json') }))
    await k.ready('profiled')
    const { stderr } = await k.run(['exec', 'profiled', '--', 'mkdir', '/tmp/x'])
    expect(stderr).toContain("can't create directory '/tmp/x': Operation not permitted")
    const refused = await k.podIs('unprofiled', (p) => waitingReason(p) === 'CreateContainerError')
    expect(refused.status.containerStatuses?.[0]?.state?.waiting?.message).toContain('absent.json')
  })
  it('P18: fsGroupChangePolicy: OnRootMismatch leaves a volume alone whose root is right', async ({ expect }) => {
    await k.apply(
      'apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: grouped}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}',
    )
    const pod = (name: string, policy: string) =>
      podOf(
        name,
        { c: 'volumeMounts: [{name: v, mountPath: /v}]' },
        `securityContext: {fsGroup: 3000, fsGroupChangePolicy: ${policy}}\nvolumes: [{name: v, persistentVolumeClaim: {claimName: grouped}}]`,
      )
    await k.apply(pod('first-group', 'Always'))
    await k.ready('first-group')
    await k.sh('first-group', 'touch /v/file; chgrp 0 /v/file; stat -c %g /v')
    await k.apply(pod('lazy-group', 'OnRootMismatch'))
    await k.ready('lazy-group')
    expect(await k.sh('lazy-group', 'stat -c %g /v /v/file')).toBe('3000\n0\n')
    await k.apply(pod('whole-group', 'Always'))
    await k.ready('whole-group')
    expect(await k.sh('whole-group', 'stat -c %g /v /v/file')).toBe('3000\n3000\n')
  })
  it('P18: supplementalGroupsPolicy Strict: obeyed, or refused by a node that cannot', async ({ expect }) => {
    await k.apply(
      podOf(
        'strict',
        { c: '' },
        'securityContext: {runAsUser: 1000, runAsGroup: 1000, supplementalGroups: [4000], supplementalGroupsPolicy: Strict}',
      ),
    )
    if (status.features?.supplementalGroupsPolicy === true) {
      await k.ready('strict')
      expect(await k.sh('strict', 'id -G')).toBe('1000 4000\n')
      return
    }
    const pod = await k.podIs('strict', (p) => p.status.phase === 'Failed')
    expect(pod.status).toMatchObject({
      reason: 'SupplementalGroupsPolicyNotSupported',
      message: 'SupplementalGroupsPolicy=Strict is not supported in this node',
    })
  })
  it('P18: hostUsers: false: root of the pod is nobody on the node, or the pod is told why not', async ({ expect }) => {
    await k.apply(podOf('mapped', { c: '' }, 'hostUsers: false'))
    if (handler()?.userNamespaces === true) {
      await k.ready('mapped')
      expect(await k.sh('mapped', 'id -u; cat /proc/self/uid_map')).toMatch(/^0\n\s+0\s+[1-9]\d+\s+65536\n$/)
      return
    }
    await expect
      .poll(() => k.events('mapped'))
      .toContain(
        'FailedCreatePodSandBox: Failed to create pod sandbox: RuntimeHandler "" does not support user namespaces',
      )
  })
  it('P18: recursive read-only mounts, where the runtime can', async ({ expect }) => {
    mkdirSync(join(folder, 'sub'))
    const mount = (mode: string) =>
      `volumeMounts: [{name: v, mountPath: /v, readOnly: true, recursiveReadOnly: ${mode}, mountPropagation: None}]`
    const volume = `volumes: [{name: v, hostPath: {path: ${folder}}}]`
    await k.apply(podOf('possible', { c: mount('IfPossible') }, volume))
    await k.apply(podOf('enabled', { c: mount('Enabled') }, volume))
    await k.ready('possible')
    expect((await k.run(['exec', 'possible', '--', 'touch', '/v/x'])).stderr).toContain('Read-only file system')
    if (handler()?.recursiveReadOnlyMounts === true) return void (await k.ready('enabled'))
    const pod = await k.podIs('enabled', (p) => waitingReason(p) === 'CreateContainerConfigError')
    expect(pod.status.containerStatuses?.[0]?.state?.waiting?.message).toBe(
      'volume "v" requested recursive read-only mode, but it is not supported by the runtime',
    )
  })
  it('image volumes, where the runtime can', async ({ expect }) => {
    await k.apply(
      podOf(
        'image-volume',
        { c: 'volumeMounts: [{name: v, mountPath: /v}]' },
        'volumes: [{name: v, image: {reference: nginx, pullPolicy: IfNotPresent}}]',
      ),
    )
    const [name = '', version = ''] = status.nodeInfo.containerRuntimeVersion.split('://')
    const [major = 0, minor = 0] = version.split('.').map(Number)
    if (name === 'containerd' && (major > 2 || (major === 2 && minor >= 1))) {
      await k.ready('image-volume')
      expect(await k.sh('image-volume', 'head -c 15 /v/usr/share/nginx/html/index.html')).toBe('<!DOCTYPE html>')
      return
    }
    await expect
      .poll(() => k.events('image-volume'))
      .toContainEqual(
        expect.stringMatching(
          /^FailedMount: .*image volumes need containerd 2\.1 or newer.*this node has containerd:\/\/1\./,
        ),
      )
  })
  it('P18: mounts are seen by the host only where propagation says so', async ({ expect, onTestFinished }) => {
    const shared = join(folder, 'shared')
    mkdirSync(join(shared, 'own'), { recursive: true })
    // Propagation wants a shared mount; the root file system of a container or small machine often is none.
    execFileSync('mount', ['--bind', shared, shared])
    execFileSync('mount', ['--make-shared', shared])
    onTestFinished(() => void execFileSync('umount', ['-R', '-l', shared]))
    await k.apply(
      podOf(
        'propagates',
        {
          c: 'securityContext: {privileged: true}\nvolumeMounts: [{name: v, mountPath: /v, mountPropagation: Bidirectional}]',
          sees: 'volumeMounts: [{name: v, mountPath: /v, mountPropagation: HostToContainer}]',
          blind: 'volumeMounts: [{name: v, mountPath: /v}]',
        },
        `volumes: [{name: v, hostPath: {path: ${shared}}}]`,
      ),
    )
    await k.ready('propagates')
    await k.sh('propagates', 'mount -t tmpfs none /v/own && touch /v/own/inside', 'c')
    expect(existsSync(join(shared, 'own', 'inside'))).toBe(true)
    expect(await k.sh('propagates', 'ls /v/own', 'sees')).toBe('inside\n')
    expect(await k.sh('propagates', 'ls /v/own', 'blind')).toBe('')
    await k.sh('propagates', 'umount /v/own', 'c')
    expect(existsSync(join(shared, 'own', 'inside'))).toBe(false)
  })
})
