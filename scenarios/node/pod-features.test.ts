// What a Pod can ask of the node, on real containers: resources, init containers and sidecars, debugging, security, DNS,
// environment, volumes, static pods.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { Pod } from '../../src/api/core/pod.ts'
import { keptOciRuntimes } from '../../src/host/containerd/oci-runtimes.ts'
import { cox } from '../cli/cox.ts'
import { isReady, type Kubectl, kubectlCluster, restarts, spawned, waitingReason } from '../kubectl/cluster.ts'
import { able } from '../kubectl/binary.ts'
import { initContainers, podOf } from './pods.ts'

const phaseIs = (phase: string) => (pod: { status: { phase?: string | undefined } }) => pod.status.phase === phase

describe.runIf(able).concurrent('what a pod asks of its node', () => {
  let k: Kubectl
  let dataDir: string
  beforeAll(async () => {
    k = await kubectlCluster('node')
    dataDir = dirname(k.env['KUBECONFIG'] ?? '')
  })
  afterAll(() => k?.remove())
  /** A file of the container's cgroup, whichever version the machine has. */
  const cgroupFile = async (pod: string, v1: string, v2: string) =>
    (await k.sh(pod, `cat /sys/fs/cgroup/${v1} 2>/dev/null || cat /sys/fs/cgroup/${v2}`)).trim()

  it('P8, P17: limits are enforced by cgroups, and the class orders who is killed first', async ({ expect }) => {
    const limits = 'resources: {limits: {cpu: 250m, memory: 64Mi}}'
    await k.apply(podOf('limited', { c: limits }))
    await k.apply(podOf('requesting', { c: 'resources: {requests: {cpu: 100m, memory: 64Mi}}' }))
    await k.apply(podOf('careless', { c: '' }))
    const [limited, requesting, careless] = await Promise.all(
      ['limited', 'requesting', 'careless'].map((p) => k.ready(p)),
    )
    expect([limited, requesting, careless].map((p) => p?.status.qosClass)).toEqual([
      'Guaranteed',
      'Burstable',
      'BestEffort',
    ])
    expect(await cgroupFile('limited', 'memory/memory.limit_in_bytes', 'memory.max')).toBe(String(64 * 2 ** 20))
    expect(await cgroupFile('limited', 'cpu/cpu.cfs_quota_us', 'cpu.max')).toMatch(/^25000\b/)
    const score = async (pod: string) => Number(await k.sh(pod, 'cat /proc/1/oom_score_adj'))
    const [safe, middle, first] = await Promise.all(['limited', 'requesting', 'careless'].map(score))
    expect(first).toBe(1000)
    expect(middle).toBeLessThan(1000)
    expect(safe).toBeLessThan(middle ?? 0)
  })
  it('P8: a pod is resized in place', async ({ expect }) => {
    await k.apply(podOf('resized', { c: 'resources: {requests: {cpu: 100m}, limits: {cpu: 200m, memory: 64Mi}}' }))
    await k.ready('resized')
    const patch = { spec: { containers: [{ name: 'c', resources: { limits: { cpu: '400m', memory: '96Mi' } } }] } }
    await k.ok(['patch', 'pod', 'resized', '--subresource', 'resize', '--patch', JSON.stringify(patch)])
    await k.podIs('resized', (p) => p.status.containerStatuses?.[0]?.resources?.limits?.['cpu'] === '400m')
    expect(await cgroupFile('resized', 'memory/memory.limit_in_bytes', 'memory.max')).toBe(String(96 * 2 ** 20))
    expect(await cgroupFile('resized', 'cpu/cpu.cfs_quota_us', 'cpu.max')).toMatch(/^40000\b/)
    expect(restarts(await k.pod('resized'))).toBe(0)
  })

  it('P8, P18, P23: each OCI runtime that works here can be named, and does all of it', async ({ expect }) => {
    const { handlers = [], standard, reason } = keptOciRuntimes(dataDir) ?? {}
    const status = await cox(['status', '--data-dir', dataDir])
    expect(status.stdout).toContain(`oci         ${standard}: ${reason}`)
    expect(handlers).toContain('runc')
    await Promise.all(
      handlers.map(async (handler) => {
        await k.apply(
          `apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: with-${handler}}\nhandler: ${handler}`,
        )
        const name = `made-by-${handler}`
        const limits = (cpu: string, memory: string) =>
          `resources: {requests: {cpu: 10m}, limits: {cpu: ${cpu}, memory: ${memory}}}`
        const seccomp = 'securityContext: {seccompProfile: {type: RuntimeDefault}}'
        const eats = 'command: [sh, -c, "while [ ! -e /tmp/eat ]; do sleep 0.2; done; tail -c 100000000 /dev/zero"]'
        const containers = { c: `${limits('200m', '64Mi')}\n${seccomp}`, greedy: `${limits('100m', '16Mi')}\n${eats}` }
        await k.apply(podOf(name, containers, `runtimeClassName: with-${handler}\nrestartPolicy: Never`))
        const pod = await k.ready(name)
        const id = pod.status.containerStatuses?.[0]?.containerID?.replace('containerd://', '') ?? ''
        // Each keeps its notes in a form of its own.
        const notes = readdirSync(join(dataDir, 'containerd', 'state', 'oci', 'k8s.io', id))
        expect(notes.includes('state.json') ? 'runc' : 'crun').toBe(handler)
        expect(await cgroupFile(name, 'memory/memory.limit_in_bytes', 'memory.max')).toBe(String(64 * 2 ** 20))
        expect(await k.sh(name, 'grep Seccomp: /proc/1/status; id -u', 'c')).toMatch(/^Seccomp:\t2\n0\n$/)
        expect((await k.run(['exec', name, '-c', 'c', '--', 'sh', '-c', 'exit 7'])).code).toBe(7)
        const patch = { spec: { containers: [{ name: 'c', resources: { limits: { cpu: '300m', memory: '96Mi' } } }] } }
        await k.ok(['patch', 'pod', name, '--subresource', 'resize', '--patch', JSON.stringify(patch)])
        const limitOf = (p: Pod) => p.status.containerStatuses?.[0]?.resources?.limits?.['cpu']
        await k.podIs(name, (p) => limitOf(p) === '300m')
        expect(await cgroupFile(name, 'memory/memory.limit_in_bytes', 'memory.max')).toBe(String(96 * 2 ** 20))
        await k.sh(name, 'touch /tmp/eat', 'greedy')
        await k.podIs(name, (p) => p.status.containerStatuses?.[1]?.state?.terminated?.reason === 'OOMKilled')
      }),
    )
  })

  it('P12: init containers run in order, a sidecar beside what follows', async ({ expect }) => {
    const say = (word: string) =>
      `command: [sh, -c, "echo ${word} >>/shared/order"]\nvolumeMounts: [{name: v, mountPath: /shared}]`
    const inits = initContainers(
      ['first', say('first')],
      ['second', say('second')],
      [
        'beside',
        `restartPolicy: Always\ncommand: [sh, -c, "echo beside >>/shared/order; exec sleep 100000"]\nvolumeMounts: [{name: v, mountPath: /shared}]`,
      ],
      ['third', say('third')],
    )
    await k.apply(
      podOf(
        'ordered',
        { c: 'volumeMounts: [{name: v, mountPath: /shared}]' },
        `${inits}\nvolumes: [{name: v, emptyDir: {}}]`,
      ),
    )
    const pod = await k.ready('ordered')
    expect(await k.sh('ordered', 'cat /shared/order', 'c')).toBe('first\nsecond\nbeside\nthird\n')
    expect(pod.status.initContainerStatuses?.map((s) => [s.name, s.ready])).toEqual([
      ['first', true],
      ['second', true],
      ['beside', true],
      ['third', true],
    ])
  })
  it('P12: a sidecar does not keep a finished pod alive', async ({ expect }) => {
    const beside = initContainers(['beside', 'restartPolicy: Always\ncommand: [sleep, "100000"]'])
    await k.apply(podOf('finishing', { c: 'command: [sh, -c, "exit 0"]' }, `restartPolicy: Never\n${beside}`))
    const pod = await k.podIs('finishing', phaseIs('Succeeded'))
    expect(pod.status.initContainerStatuses?.[0]?.state?.terminated).toBeDefined()
  })
  it('P12: an init container that fails is told, retried, or ends the pod', async ({ expect }) => {
    const failing = initContainers(['broken', 'command: [sh, -c, "exit 3"]'])
    await k.apply(podOf('init-retried', { c: '' }, failing))
    await k.apply(podOf('init-failed', { c: '' }, `restartPolicy: Never\n${failing}`))
    const failed = await k.podIs('init-failed', phaseIs('Failed'))
    expect(failed.status.initContainerStatuses?.[0]?.state?.terminated?.exitCode).toBe(3)
    await k.podIs('init-retried', (p) => (p.status.initContainerStatuses?.[0]?.restartCount ?? 0) > 0)
    await expect
      .poll(() => k.ok(['get', 'pod', 'init-retried', '--no-headers']))
      .toMatch(/Init:(Error|CrashLoopBackOff)/)
  })
  it('P12: a pod past its deadline fails', async ({ expect }) => {
    await k.apply(podOf('late', { c: '' }, 'activeDeadlineSeconds: 2'))
    expect((await k.podIs('late', phaseIs('Failed'))).status.reason).toBe('DeadlineExceeded')
  })

  it('P13: kubectl debug joins a running pod', async ({ expect }) => {
    await k.apply(podOf('debugged', { c: '' }))
    await k.ready('debugged')
    const image = ['--image=busybox', '--image-pull-policy=IfNotPresent']
    const command = ['--', 'sh', '-c', 'ps ax; exec sleep 100000']
    await k.ok(['debug', 'debugged', ...image, '--target=c', '--container=dbg', ...command])
    await k.podIs('debugged', (p) => p.status.ephemeralContainerStatuses?.[0]?.state?.running !== undefined)
    await expect.poll(() => k.ok(['logs', 'debugged', '-c', 'dbg'])).toMatch(/^\s*1 .*trap exit TERM/m)
  })

  it('P18: users, groups, capabilities and privileges are as asked', async ({ expect }) => {
    const context = 'securityContext: {runAsUser: 1001, runAsGroup: 1002, fsGroup: 1003, supplementalGroups: [1004]}'
    const own = [
      'securityContext:',
      '  readOnlyRootFilesystem: true',
      '  allowPrivilegeEscalation: false',
      '  capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}',
      '  seccompProfile: {type: RuntimeDefault}',
      'volumeMounts: [{name: v, mountPath: /v}]',
    ].join('\n')
    await k.apply(podOf('secured', { c: own }, `${context}\nvolumes: [{name: v, emptyDir: {}}]`))
    await k.ready('secured')
    expect(await k.sh('secured', 'id -u; id -g; id -G')).toMatch(/^1001\n1002\n(?=.*1003)(?=.*1004)/)
    const status = await k.sh('secured', 'cat /proc/1/status')
    expect(status).toMatch(/^CapBnd:\t0000000000000400$/m)
    expect(status).toMatch(/^NoNewPrivs:\t1$/m)
    expect(status).toMatch(/^Seccomp:\t2$/m)
    expect(await k.sh('secured', 'touch /x 2>&1 || true')).toContain('Read-only file system')
    expect(await k.sh('secured', 'touch /v/x && stat -c %g /v/x')).toBe('1003\n')
  })
  it('P18: root is refused where it may not be, and unsafe sysctls where they are not allowed', async ({ expect }) => {
    await k.apply(podOf('not-root', { c: 'securityContext: {runAsNonRoot: true}' }))
    const pod = await k.podIs('not-root', (p) => waitingReason(p) === 'CreateContainerConfigError')
    expect(pod.status.containerStatuses?.[0]?.state?.waiting?.message).toMatch(
      /^container has runAsNonRoot and image will run as root /,
    )
    const sysctl = (name: string, value: string) => `securityContext: {sysctls: [{name: ${name}, value: "${value}"}]}`
    await k.apply(podOf('safe-sysctl', { c: '' }, sysctl('net.ipv4.ip_unprivileged_port_start', '80')))
    await k.ready('safe-sysctl')
    expect(await k.sh('safe-sysctl', 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start')).toBe('80\n')
    await k.apply(podOf('unsafe-sysctl', { c: '' }, sysctl('kernel.msgmax', '9000')))
    const refused = await k.podIs('unsafe-sysctl', phaseIs('Failed'))
    expect(refused.status).toMatchObject({
      reason: 'SysctlForbidden',
      message: 'forbidden sysctl: "kernel.msgmax" not allowlisted',
    })
  })

  it('P19: resolv.conf follows dnsPolicy and dnsConfig', async ({ expect }) => {
    await k.apply(podOf('dns-cluster', { c: '' }))
    await k.apply(podOf('dns-default', { c: '' }, 'dnsPolicy: Default'))
    await k.apply(
      podOf(
        'dns-none',
        { c: '' },
        'dnsPolicy: None\ndnsConfig: {nameservers: [1.2.3.4], searches: [a.b], options: [{name: ndots, value: "2"}]}',
      ),
    )
    await Promise.all(['dns-cluster', 'dns-default', 'dns-none'].map((p) => k.ready(p)))
    const conf = (pod: string) => k.sh(pod, 'cat /etc/resolv.conf')
    expect(await conf('dns-cluster')).toMatch(
      /^search default\.svc\.cluster\.local svc\.cluster\.local cluster\.local/m,
    )
    expect(await conf('dns-cluster')).toMatch(/^options ndots:5$/m)
    expect(await conf('dns-none')).toBe('search a.b\nnameserver 1.2.3.4\noptions ndots:2\n')
    const node = /^nameserver (\S+)/m.exec(readFileSync('/etc/resolv.conf', 'utf8'))?.[1]
    if (node !== undefined) expect(await conf('dns-default')).toContain(`nameserver ${node}`)
  })

  it('P20: services and the pod itself stand in the environment', async ({ expect }) => {
    await k.ok(['create', 'service', 'clusterip', 'known', '--tcp=80:80'])
    const env = [
      'resources: {requests: {memory: 32Mi}, limits: {cpu: 1500m}}',
      'env:',
      '- {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}',
      '- {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}',
      '- {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}',
      '- {name: MIB, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}}',
    ].join('\n')
    await k.apply(podOf('environed', { c: env }))
    await k.apply(podOf('unlinked', { c: '' }, 'enableServiceLinks: false'))
    const pod = await k.ready('environed')
    await k.ready('unlinked')
    const shown = await k.sh('environed', 'env')
    for (const line of [
      'HOSTNAME=environed',
      `NODE=${pod.spec.nodeName}`,
      `IP=${pod.status.podIP}`,
      'CPU=2',
      'MIB=32',
      'KNOWN_SERVICE_PORT=80',
    ])
      expect(shown).toContain(`${line}\n`)
    const unlinked = await k.sh('unlinked', 'env')
    expect(unlinked).not.toContain('KNOWN_')
    expect(unlinked).toContain('KUBERNETES_SERVICE_HOST=')
  })

  it("P16: a terminal follows its size, and a program sees its input's end", async ({ expect }) => {
    await k.apply(podOf('sized', { c: '' }))
    await k.ready('sized')
    const sized = (rows: number, columns: number) =>
      `until [ "$(stty size)" = "${rows} ${columns}" ]; do sleep 0.1; done`
    const inside = `${sized(30, 100)}; : >/tmp/seen; ${sized(41, 123)}; echo resized; exit 3`
    const outside = `stty rows 30 cols 100
      (until kubectl exec sized -- test -e /tmp/seen; do :; done; stty rows 41 cols 123 </dev/tty) &
      kubectl exec -it sized -- sh -c '${inside}'`
    const terminal = await spawned('script', ['--quiet', '--return', '--command', outside, '/dev/null'], k.env)
    expect(terminal.stdout).toContain('resized')
    expect(terminal.code).toBe(3)
    expect(await k.ok(['exec', '-i', 'sized', '--', 'sh', '-c', 'cat; echo after'], 'input ')).toBe('input after\n')
  })

  it("the kubelet's paths are reached through the node's proxy, and kubectl top by them", async ({ expect }) => {
    await k.apply(podOf('measured', { c: 'command: [sh, -c, "trap exit TERM; while :; do echo; sleep 0.1; done"]' }))
    await k.ready('measured')
    const node = (await k.ok(['get', 'nodes', '-o', 'name'])).trim().replace('node/', '')
    const raw = (path: string) => k.ok(['get', '--raw', `/api/v1/nodes/${node}/proxy/${path}`])
    expect(await raw('healthz')).toBe('ok')
    expect(JSON.parse(await raw('stats/summary'))).toMatchObject({
      node: { nodeName: node },
      pods: expect.arrayContaining([
        expect.objectContaining({
          podRef: expect.objectContaining({ name: 'measured' }),
          network: expect.objectContaining({ name: 'eth0', rxBytes: expect.any(Number) }),
        }),
      ]),
    })
    expect(await raw('pods')).toContain('"name":"measured"')
    expect(await raw('metrics')).toMatch(/^kubelet_running_pods [1-9]/m)
    expect(await raw('metrics/resource')).toMatch(/^pod_memory_working_set_bytes\{.*pod="measured"\} \d+ \d+$/m)
    expect(await k.ok(['top', 'node', '--no-headers'])).toMatch(/^\S+ +[1-9]\d*m +\d+% +\d+Mi +\d+%/)
    expect(await k.ok(['top', 'pod', 'measured', '--containers', '--no-headers'])).toMatch(/^measured +c +\d+m +\d+Mi/)
    expect((await k.run(['get', '--raw', `/api/v1/nodes/${node}/proxy/none`])).code).toBe(1)
  })

  it('P22: a static pod lives by its manifest alone', async ({ expect }) => {
    const folder = join(dataDir, 'manifests')
    mkdirSync(folder, { recursive: true })
    const path = join(folder, 'still.yaml')
    writeFileSync(path, podOf('still', { c: '' }))
    const node = (await k.ok(['get', 'nodes', '-o', 'name'])).trim().replace('node/', '')
    const name = `still-${node}`
    await expect.poll(async () => (await k.run(['get', 'pod', name])).code, { timeout: 60_000 }).toBe(0)
    const before = await k.ready(name)
    await k.ok(['delete', 'pod', name, '--wait=false'])
    await expect
      .poll(async () => (await k.run(['get', 'pod', name, '-o', 'jsonpath={.metadata.uid}'])).stdout)
      .not.toBe(before.metadata.uid)
    const after = await k.ready(name)
    expect(after.status.containerStatuses?.[0]?.containerID).toBe(before.status.containerStatuses?.[0]?.containerID)
    rmSync(path)
    await expect.poll(async () => (await k.run(['get', 'pod', name])).stderr, { timeout: 60_000 }).toContain('NotFound')
  })

  it('P23: a termination message from a file or from the end of the log', async ({ expect }) => {
    await k.apply(
      podOf('last-words', { c: 'command: [sh, -c, "echo -n bye >/dev/termination-log"]' }, 'restartPolicy: Never'),
    )
    await k.apply(
      podOf(
        'last-lines',
        { c: 'command: [sh, -c, "echo it broke; exit 1"]\nterminationMessagePolicy: FallbackToLogsOnError' },
        'restartPolicy: Never',
      ),
    )
    const message = async (name: string, phase: string) =>
      (await k.podIs(name, phaseIs(phase))).status.containerStatuses?.[0]?.state?.terminated?.message
    expect(await message('last-words', 'Succeeded')).toBe('bye')
    expect(await message('last-lines', 'Failed')).toBe('it broke\n')
  })

  it('V1: emptyDir in memory, subPaths, host paths and their checks', async ({ expect }) => {
    const mounts = [
      'volumeMounts:',
      '- {name: m, mountPath: /m}',
      '- {name: d, mountPath: /d, subPath: a/b}',
      '- {name: d, mountPath: /e, subPathExpr: $(POD)}',
      '- {name: t, mountPath: /etc/localtime, readOnly: true}',
      'env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]',
    ].join('\n')
    const volumes = [
      'volumes:',
      '- {name: m, emptyDir: {medium: Memory, sizeLimit: 1Mi}}',
      '- {name: d, emptyDir: {}}',
      '- {name: t, hostPath: {path: /etc/hostname, type: File}}',
    ].join('\n')
    await k.apply(podOf('mounted', { c: mounts, all: 'volumeMounts: [{name: d, mountPath: /all}]' }, volumes))
    await k.apply(
      podOf(
        'mismounted',
        { c: 'volumeMounts: [{name: h, mountPath: /h}]' },
        'volumes: [{name: h, hostPath: {path: /etc/hostname, type: Directory}}]',
      ),
    )
    await k.ready('mounted')
    expect(await k.sh('mounted', 'mount | grep " /m "', 'c')).toMatch(/^tmpfs on \/m type tmpfs .*size=1024k/)
    await k.sh('mounted', 'echo in >/d/f; echo by >/e/g', 'c')
    expect(await k.sh('mounted', 'cat /all/a/b/f /all/mounted/g', 'all')).toBe('in\nby\n')
    expect(await k.sh('mounted', 'cat /etc/localtime', 'c')).toBe(readFileSync('/etc/hostname', 'utf8'))
    await expect
      .poll(() => k.events('mismounted'))
      .toContain(
        'FailedMount: MountVolume.SetUp failed for volume "h" : hostPath type check failed: /etc/hostname is not a directory',
      )
  })
  it('V1: a restart keeps an emptyDir, the end of the pod drops it', async ({ expect }) => {
    await k.apply(
      podOf(
        'keeping',
        { c: 'command: [sh, -c, "cat /v/x; echo kept >>/v/x; sleep 3"]\nvolumeMounts: [{name: v, mountPath: /v}]' },
        'volumes: [{name: v, emptyDir: {}}]',
      ),
    )
    const pod = await k.podIs('keeping', (p) => restarts(p) === 1)
    await expect.poll(() => k.ok(['logs', 'keeping'])).toContain('kept')
    const volume = join(dataDir, 'kubelet', 'pods', pod.metadata.uid)
    expect(existsSync(volume)).toBe(true)
    await k.ok(['delete', 'pod', 'keeping'])
    await expect.poll(() => existsSync(volume)).toBe(false)
  })
  it('C2: a ConfigMap in a volume follows its changes, whole', async ({ expect }) => {
    await k.ok(['create', 'configmap', 'moving', '--from-literal=a=1', '--from-literal=b=1'])
    await k.apply(
      podOf(
        'following',
        { c: 'volumeMounts: [{name: v, mountPath: /v}]' },
        'volumes: [{name: v, configMap: {name: moving}}]',
      ),
    )
    await k.ready('following')
    await k.ok(['patch', 'configmap', 'moving', '-p', '{"data":{"a":"2","c":"2","b":null}}'])
    await expect
      .poll(() => k.sh('following', 'cd /v; head -c 9 a c; ls'), { timeout: 60_000 })
      .toMatch(/2[^]*2[^]*a\nc\n$/)
  })
  it('P9: a readiness gate is waited for', async ({ expect }) => {
    await k.apply(podOf('gated', { c: '' }, 'readinessGates: [{conditionType: example.com/ok}]'))
    const pod = await k.podIs(
      'gated',
      (p) => p.status.conditions?.some((c) => c.type === 'ContainersReady' && c.status === 'True') === true,
    )
    expect(pod.status.conditions?.find((c) => c.type === 'Ready')).toMatchObject({
      status: 'False',
      reason: 'ReadinessGatesNotReady',
    })
    const condition = { status: { conditions: [{ type: 'example.com/ok', status: 'True' }] } }
    await k.ok(['patch', 'pod', 'gated', '--subresource', 'status', '-p', JSON.stringify(condition)])
    await k.podIs('gated', isReady)
  })
})
