// Rows P, C, S and A of the scenarios on real containers, by kubectl. The pods of a test have names of their own, so the
// tests run side by side on one cluster.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { able } from './binary.ts'
import { isReady, type Kubectl, kubectlCluster, manifests, restarts, spawned, waitingReason } from './cluster.ts'

const one = (name: string, container: string, more = ''): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  terminationGracePeriodSeconds: 2
${more}
  containers:
  - name: c
    image: busybox
    imagePullPolicy: IfNotPresent
${container.replace(/^/gm, '    ')}
`
const sleeps = 'command: [sh, -c, "trap exit TERM; sleep 100000 & wait"]'

describe.runIf(able).concurrent('kubectl on real containers', () => {
  let k: Kubectl
  let folder: string
  beforeAll(async () => {
    k = await kubectlCluster('kubectl')
    folder = mkdtempSync(join(tmpdir(), 'cox-kubectl-'))
  })
  afterAll(async () => {
    await k?.remove()
    if (folder !== undefined) rmSync(folder, { recursive: true })
  })
  const pods = manifests('01-pods.yaml')
  const config = manifests('02-config.yaml')
  const health = manifests('03-health.yaml')
  const text = (from: ReadonlyMap<string, string>, name: string): string => {
    const found = from.get(name)
    if (found === undefined) throw new Error(`no manifest ${name}`)
    return found
  }

  it('P1: containers share an address, and the process namespace where asked; pause is PID 1', async ({ expect }) => {
    await k.apply(text(pods, 'nginx-shared-pid'))
    await k.ready('nginx-shared-pid')
    const processes = await k.sh('nginx-shared-pid', 'ps ax', 'shell')
    expect(processes).toMatch(/^\s*1 .*\/pause/m)
    expect(processes).toMatch(/nginx: master/)
    expect(await k.sh('nginx-shared-pid', 'wget -qO- http://localhost | head -c 15', 'shell')).toContain(
      '<!DOCTYPE html>',
    )
  })
  it('P2: a changed image restarts the container, not the pod', async ({ expect }) => {
    await k.apply(one('image-change', sleeps))
    const before = await k.ready('image-change')
    await k.ok(['set', 'image', 'pod/image-change', 'c=busybox:1.35'])
    const after = await k.podIs('image-change', (p) => restarts(p) === 1 && isReady(p))
    expect(after.metadata.uid).toBe(before.metadata.uid)
    expect(after.status.podIP).toBe(before.status.podIP)
    expect(await k.events('image-change')).toContain('Killing: Container c definition changed, will be restarted')
  })
  it('P3: nodeSelector keeps a pod Pending until a node has the label', async ({ expect }) => {
    await k.apply(text(pods, 'nginx-ssd'))
    await expect
      .poll(() => k.events('nginx-ssd'))
      .toContainEqual(
        expect.stringMatching(
          /^FailedScheduling: 0\/1 nodes are available: 1 node\(s\) didn't match Pod's node affinity\/selector/,
        ),
      )
    const node = (await k.ok(['get', 'nodes', '-o', 'name'])).trim()
    await k.ok(['label', node, 'disktype=ssd'])
    await k.ready('nginx-ssd')
  })
  it('P3: hostAliases and host namespaces', async ({ expect }) => {
    await k.apply(text(pods, 'hostaliases-pod'))
    await k.ready('hostaliases-pod')
    const hosts = await k.ok(['logs', 'hostaliases-pod'])
    expect(hosts).toMatch(/^# Kubernetes-managed hosts file\./)
    expect(hosts).toMatch(/10\.1\.2\.3\tfoo\.remote\tbar\.remote/)
    await k.apply(one('host-spaces', sleeps, '  hostNetwork: true\n  hostPID: true\n  hostIPC: true'))
    await k.ready('host-spaces')
    expect(await k.sh('host-spaces', 'cat /proc/1/comm')).not.toContain('pause')
  })
  it('P4: command, args, environment and expansion', async ({ expect }) => {
    await k.apply(
      one(
        'expands',
        `command: [sh, -c]
args: ["echo $(GREETING) $(NOBODY) $$(GREETING); pwd"]
workingDir: /tmp
env: [{name: WHO, value: world}, {name: GREETING, value: "hello $(WHO)"}]`,
        '  restartPolicy: Never',
      ),
    )
    await k.podIs('expands', (p) => p.status.phase === 'Succeeded')
    // The shell sees $(NOBODY) and $(GREETING) as commands that do not exist.
    expect(await k.ok(['logs', 'expands'])).toContain('hello world')
  })
  it('P5: pull policies, and P11: their reasons', async ({ expect }) => {
    const image = (name: string, policy: string, ref: string) =>
      `{apiVersion: v1, kind: Pod, metadata: {name: ${name}}, spec: {containers: [{name: c, image: "${ref}", imagePullPolicy: ${policy}}]}}`
    await k.apply(image('never', 'Never', 'absent.invalid/x:1'))
    await k.apply(image('absent', 'IfNotPresent', '127.0.0.1:1/x:1'))
    await k.apply(image('crooked', 'IfNotPresent', 'Not A Name'))
    await k.podIs('never', (p) => waitingReason(p) === 'ErrImageNeverPull')
    await k.podIs('crooked', (p) => waitingReason(p) === 'InvalidImageName')
    await k.podIs('absent', (p) => ['ErrImagePull', 'ImagePullBackOff'].includes(waitingReason(p) ?? ''))
    await k.podIs('absent', (p) => waitingReason(p) === 'ImagePullBackOff')
    await k.ok(['run', 'default-policy', '--image=busybox:1.35', '--', 'sleep', '1'])
    expect((await k.pod('default-policy')).spec.containers[0]?.imagePullPolicy).toBe('IfNotPresent')
    await k.ok(['run', 'latest-policy', '--image=busybox', '--', 'sleep', '1'])
    expect((await k.pod('latest-policy')).spec.containers[0]?.imagePullPolicy).toBe('Always')
  })
  it('P7: postStart runs, preStop is waited for, a failed postStart kills', async ({ expect }) => {
    await k.apply(text(pods, 'lifecycle-demo'))
    await k.ready('lifecycle-demo')
    expect(await k.sh('lifecycle-demo', 'cat /usr/share/message')).toContain('Hello from the postStart handler')
    await k.ok(['delete', 'pod', 'lifecycle-demo'])
    await k.apply(one('bad-hook', `${sleeps}\nlifecycle: {postStart: {exec: {command: [sh, -c, "exit 3"]}}}`))
    await expect
      .poll(() => k.events('bad-hook'), { timeout: 60_000 })
      .toContainEqual(expect.stringMatching(/^FailedPostStartHook: /))
    await k.podIs(
      'bad-hook',
      (p) =>
        restarts(p) > 0 ||
        p.status.containerStatuses?.[0]?.lastState?.terminated !== undefined ||
        waitingReason(p) === 'PostStartHookError',
    )
  })
  it('P9, P10: phases and restart policies', async ({ expect }) => {
    const ends = (name: string, policy: string, code: number) =>
      k.apply(one(name, `command: [sh, -c, "exit ${code}"]`, `  restartPolicy: ${policy}`))
    await Promise.all([
      ends('never-0', 'Never', 0),
      ends('never-1', 'Never', 1),
      ends('failure-0', 'OnFailure', 0),
      ends('failure-1', 'OnFailure', 1),
      ends('always-0', 'Always', 0),
    ])
    await k.podIs('never-0', (p) => p.status.phase === 'Succeeded')
    await k.podIs('never-1', (p) => p.status.phase === 'Failed')
    await k.podIs('failure-0', (p) => p.status.phase === 'Succeeded')
    await k.podIs('failure-1', (p) => restarts(p) >= 1 && p.status.phase === 'Running')
    await k.podIs('always-0', (p) => restarts(p) >= 1 && p.status.phase === 'Running')
    await k.podIs('failure-1', (p) => waitingReason(p) === 'CrashLoopBackOff', 180_000)
    expect((await k.pod('failure-1')).status.containerStatuses?.[0]?.state?.waiting?.message).toMatch(
      /^back-off \d+s restarting failed container=c pod=failure-1_default\(/,
    )
    const conditions = (await k.pod('never-0')).status.conditions?.map(
      (c) => `${c.type}=${c.status}${c.reason === undefined ? '' : ` ${c.reason}`}`,
    )
    expect(conditions).toContain('Ready=False PodCompleted')
    expect(conditions).toContain('PodScheduled=True')
  })
  it('P14: an exec liveness probe kills and restarts', async ({ expect }) => {
    await k.apply(text(health, 'test-liveness-exec'))
    await k.podIs('test-liveness-exec', (p) => restarts(p) === 1, 180_000)
    const events = await k.events('test-liveness-exec')
    expect(events).toContainEqual(expect.stringMatching(/^Unhealthy: Liveness probe failed: cat: /))
    expect(events).toContain('Killing: Container liveness failed liveness probe, will be restarted')
  })
  it('P14: http and tcp probes by port name', async ({ expect }) => {
    await k.apply(text(health, 'liveness-tcp'))
    await k.apply(text(health, 'liveness-http'))
    await Promise.all([k.ready('liveness-tcp'), k.ready('liveness-http')])
    await k.sh('liveness-http', 'rm /usr/share/nginx/html/healthy')
    await k.podIs('liveness-http', (p) => restarts(p) === 1 && isReady(p), 180_000)
    expect(await k.events('liveness-http')).toContain(
      'Unhealthy: Liveness probe failed: HTTP probe failed with statuscode: 404',
    )
    expect(restarts(await k.pod('liveness-tcp'))).toBe(0)
  })
  it('P14: a pod that is not ready leaves its endpoints and is not restarted', async ({ expect }) => {
    await k.apply(
      one(
        'unready',
        'command: [sh, -c, "touch /tmp/ok; exec sleep 100000"]\nreadinessProbe: {exec: {command: [test, -e, /tmp/ok]}, periodSeconds: 1, failureThreshold: 1}',
      ),
    )
    await k.ready('unready')
    await k.ok(['expose', 'pod', 'unready', '--port', '80'])
    const addresses = () =>
      k.ok([
        'get',
        'endpointslices',
        '-l',
        'kubernetes.io/service-name=unready',
        '-o',
        'jsonpath={.items[*].endpoints[*].conditions.ready}',
      ])
    await expect.poll(addresses).toBe('true')
    await k.sh('unready', 'rm /tmp/ok')
    await expect.poll(addresses, { timeout: 60_000 }).toBe('false')
    expect(restarts(await k.pod('unready'))).toBe(0)
  })
  it('P10: a memory limit that is passed ends in OOMKilled', async ({ expect }) => {
    await k.apply(text(health, 'memleak-pod'))
    const pod = await k.podIs(
      'memleak-pod',
      (p) =>
        (p.status.containerStatuses?.[0]?.lastState?.terminated ?? p.status.containerStatuses?.[0]?.state?.terminated)
          ?.reason === 'OOMKilled',
      60_000,
    )
    expect(pod.status.qosClass).toBe('Guaranteed')
  })
  it('P15: Terminating is shown while the container gets its time; --force removes at once', async ({ expect }) => {
    await k.apply(
      one('stubborn', 'command: [sh, -c, "trap : TERM; while true; do sleep 1; done"]').replace(
        'Seconds: 2',
        'Seconds: 4',
      ),
    )
    await k.ready('stubborn')
    const started = Date.now()
    const gone = k.ok(['delete', 'pod', 'stubborn'])
    await expect
      .poll(() => k.run(['get', 'pod', 'stubborn', '--no-headers']).then((r) => r.stdout))
      .toContain('Terminating')
    await gone
    expect(Date.now() - started).toBeGreaterThan(3500)
    await k.apply(one('forced', sleeps))
    await k.ready('forced')
    await k.ok(['delete', 'pod', 'forced', '--force', '--grace-period=0'])
    expect((await k.run(['get', 'pod', 'forced'])).stderr).toContain('NotFound')
  })
  it('P16: logs, exec with its exit code, attach, port-forward and cp', async ({ expect }) => {
    await k.apply(
      one('talks', 'command: [sh, -c, "for i in 1 2 3; do echo line $i; done; httpd -p 8080; exec sleep 100000"]'),
    )
    await k.ready('talks')
    expect(await k.ok(['logs', 'talks', '--tail=2'])).toBe('line 2\nline 3\n')
    expect(await k.ok(['logs', 'talks', '--timestamps', '--tail=1'])).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z line 3\n$/)
    const exit = await k.run(['exec', 'talks', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'])
    expect([exit.code, exit.stdout]).toEqual([7, 'out\n'])
    expect(exit.stderr).toMatch(/^err\n/)
    expect(await k.ok(['exec', '-i', 'talks', '--', 'cat'], 'through stdin')).toBe('through stdin')
    writeFileSync(join(folder, 'up.txt'), 'carried')
    await k.ok(['cp', join(folder, 'up.txt'), 'talks:/tmp/up.txt'])
    expect(await k.sh('talks', 'cat /tmp/up.txt')).toBe('carried')
    const forward = await spawned(
      'sh',
      [
        '-c',
        `kubectl port-forward talks :8080 >${folder}/pf & pid=$!; until grep -q Forwarding ${folder}/pf 2>/dev/null; do sleep 0.1; done; port=$(sed -n 's/.*127.0.0.1:\\([0-9]*\\).*/\\1/p' ${folder}/pf | head -1); node -e "fetch('http://127.0.0.1:'+process.argv[1]).then(r=>console.log(r.status))" $port; kill $pid`,
      ],
      k.env,
    )
    expect(forward.stdout.trim()).toBe('404')
  })
  it('C1: ConfigMaps and Secrets as environment, files and arguments', async ({ expect }) => {
    await k.apply(text(config, 'cm-appvars'))
    await k.apply(text(config, 'cm-test-pod'))
    await k.podIs('cm-test-pod', (p) => p.status.phase === 'Succeeded')
    const log = await k.ok(['logs', 'cm-test-pod'])
    expect(log).toContain('APPLOGLEVEL=info')
    expect(log).toContain('APPDATADIR=/var/data')
    writeFileSync(join(folder, 'username.txt'), 'admin')
    writeFileSync(join(folder, 'pass.txt'), '1f2d1e2e67df')
    await k.ok(['create', 'secret', 'generic', 'user', `--from-file=${join(folder, 'username.txt')}`])
    await k.ok(['create', 'secret', 'generic', 'pass', `--from-file=${join(folder, 'pass.txt')}`])
    await k.apply(text(config, 'test-projected-volume'))
    await k.ready('test-projected-volume')
    expect(await k.sh('test-projected-volume', 'cat /projected-volume/username.txt; ls /projected-volume')).toBe(
      'adminpass.txt\nusername.txt\n',
    )
    // C2: the file changes in the running container.
    await k.ok(['patch', 'secret', 'user', '-p', '{"stringData":{"username.txt":"root"}}'])
    await expect
      .poll(() => k.sh('test-projected-volume', 'cat /projected-volume/username.txt'), { timeout: 60_000 })
      .toBe('root')
    expect(restarts(await k.pod('test-projected-volume'))).toBe(0)
  })
  it('C2: the downward API follows the labels', async ({ expect }) => {
    await k.apply(text(config, 'test-downwardapi-volume'))
    await k.ready('test-downwardapi-volume')
    expect(await k.sh('test-downwardapi-volume', 'cat /etc/podinfo/labels')).toContain('zone="us-est-coast"')
    await k.ok(['label', '--overwrite', 'pod', 'test-downwardapi-volume', 'zone=elsewhere'])
    await expect
      .poll(() => k.sh('test-downwardapi-volume', 'cat /etc/podinfo/labels'), { timeout: 60_000 })
      .toContain('zone="elsewhere"')
  })
  it('C3: every pod has a token of its service account that the API takes', async ({ expect }) => {
    await k.apply(one('has-token', sleeps))
    await k.ready('has-token')
    const folderOf = '/var/run/secrets/kubernetes.io/serviceaccount'
    expect(await k.sh('has-token', `cat ${folderOf}/namespace; ls ${folderOf}`)).toBe(
      'defaultca.crt\nnamespace\ntoken\n',
    )
    const token = (await k.sh('has-token', `cat ${folderOf}/token`)).trim()
    const review = `{apiVersion: authentication.k8s.io/v1, kind: TokenReview, spec: {token: ${token}}}`
    const answer = JSON.parse(await k.ok(['create', '-f', '-', '-o', 'json'], `---\n${review}`)) as {
      status: { authenticated: boolean; user: { username: string } }
    }
    expect(answer.status).toMatchObject({
      authenticated: true,
      user: { username: 'system:serviceaccount:default:default' },
    })
  })
  it('C4: what is missing is named, and heals when it appears', async ({ expect }) => {
    await k.apply(one('wants-env', `${sleeps}\nenv: [{name: A, valueFrom: {configMapKeyRef: {name: later, key: a}}}]`))
    await k.apply(
      one(
        'wants-file',
        `${sleeps}\nvolumeMounts: [{name: v, mountPath: /v}]`,
        '  volumes: [{name: v, configMap: {name: later-file}}]',
      ),
    )
    const pod = await k.podIs('wants-env', (p) => waitingReason(p) === 'CreateContainerConfigError')
    expect(pod.status.containerStatuses?.[0]?.state?.waiting?.message).toBe('configmap "later" not found')
    await expect
      .poll(() => k.events('wants-file'))
      .toContain('FailedMount: MountVolume.SetUp failed for volume "v" : configmap "later-file" not found')
    await k.ok(['create', 'configmap', 'later', '--from-literal=a=1'])
    await k.ok(['create', 'configmap', 'later-file', '--from-literal=f=1'])
    await Promise.all([k.ready('wants-env', 180_000), k.ready('wants-file', 180_000)])
  })
  it('S1, S6: requests that fit nowhere are explained, and the pod runs when room appears', async ({ expect }) => {
    await k.apply(one('giant', `${sleeps}\nresources: {requests: {cpu: "1000"}}`))
    await expect
      .poll(() => k.events('giant'))
      .toContainEqual(expect.stringMatching(/^FailedScheduling: 0\/1 nodes are available: 1 Insufficient cpu\./))
    const condition = (await k.pod('giant')).status.conditions?.find((c) => c.type === 'PodScheduled')
    expect(condition).toMatchObject({ status: 'False', reason: 'Unschedulable' })
  })
  it('S2: both node selector and affinity must hold', async ({ expect }) => {
    await k.apply(
      one(
        'affine',
        sleeps,
        '  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: affine, operator: In, values: [yes-please]}]}]}}}',
      ),
    )
    await expect
      .poll(() => k.events('affine'))
      .toContainEqual(expect.stringMatching(/didn't match Pod's node affinity/))
    const node = (await k.ok(['get', 'nodes', '-o', 'name'])).trim()
    await k.ok(['label', node, 'affine=yes-please'])
    await k.ready('affine')
  })
  it('A2: a watch shows what happens and goes on from a resource version', async ({ expect }) => {
    const list = JSON.parse(await k.ok(['get', 'configmaps', '-o', 'json'])) as {
      metadata: { resourceVersion: string }
    }
    await k.ok(['create', 'configmap', 'watched', '--from-literal=a=1'])
    await k.ok(['patch', 'configmap', 'watched', '-p', '{"data":{"a":"2"}}'])
    await k.ok(['delete', 'configmap', 'watched'])
    const version = (
      JSON.parse(await k.ok(['get', '--raw', '/api/v1/namespaces/default/configmaps?limit=1'])) as typeof list
    ).metadata.resourceVersion
    expect(Number(version)).toBeGreaterThan(0)
    const raw = await k.ok([
      'get',
      '--raw',
      `/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dwatched&resourceVersion=${await oldest(k)}`,
    ])
    const types = raw
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type)
    expect(types.filter((t) => t !== 'BOOKMARK')).toEqual(['ADDED', 'MODIFIED', 'DELETED'])
  })
})

/** A resource version from before the tests: the default namespace's own. */
async function oldest(k: Kubectl): Promise<string> {
  return (await k.ok(['get', 'namespace', 'default', '-o', 'jsonpath={.metadata.resourceVersion}'])).trim()
}
