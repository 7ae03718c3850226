// Rows W2, W3, S4, A7, A9 and the bad manifests, on real containers, by kubectl.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { able } from './binary.ts'
import { type Kubectl, kubectlCluster } from './cluster.ts'

const deployment = (name: string, image: string, more = '') => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: 3
  selector: {matchLabels: {app: ${name}}}
${more}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: "${image}", imagePullPolicy: IfNotPresent, command: [sleep, "100000"]}]
`

describe.runIf(able)('workloads by kubectl', () => {
  let k: Kubectl
  beforeAll(async () => {
    k = await kubectlCluster('workloads')
  })
  afterAll(() => k?.remove())

  it('W3: a rollout, its history and the way back', async () => {
    await k.apply(deployment('web', 'busybox:1.35'))
    expect(await k.ok(['rollout', 'status', 'deployment/web', '--timeout=60s'])).toContain('successfully rolled out')
    await k.ok(['set', 'image', 'deployment/web', 'c=busybox:latest'])
    await k.ok(['rollout', 'status', 'deployment/web', '--timeout=60s'])
    expect(await k.ok(['rollout', 'history', 'deployment/web'])).toMatch(/^1 .*\n2 /m)
    await k.ok(['rollout', 'undo', 'deployment/web', '--to-revision=1'])
    await k.ok(['rollout', 'status', 'deployment/web', '--timeout=60s'])
    expect(await k.ok(['get', 'deployment', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].image}'])).toBe(
      'busybox:1.35',
    )
    await k.ok(['rollout', 'restart', 'deployment/web'])
    await k.ok(['rollout', 'status', 'deployment/web', '--timeout=60s'])
    await k.ok(['scale', 'deployment/web', '--replicas=1'])
    await expect.poll(() => k.ok(['get', 'deployment', 'web', '--no-headers'])).toMatch(/^web +1\/1 /)
    expect(await k.events('web')).toContainEqual(
      expect.stringMatching(/^ScalingReplicaSet: Scaled up replica set web-[a-z0-9]+ from 0 to 3$/),
    )
  })
  it('W3: paused does nothing, resumed goes on; a bad image stops at its budget', async () => {
    await k.apply(deployment('slow', 'busybox:1.35'))
    await k.ok(['rollout', 'status', 'deployment/slow', '--timeout=60s'])
    await k.ok(['rollout', 'pause', 'deployment/slow'])
    // Not before: on a busy machine the good pods take longer.
    await k.ok(['patch', 'deployment', 'slow', '-p', '{"spec":{"progressDeadlineSeconds":5}}'])
    await k.ok(['set', 'image', 'deployment/slow', 'c=127.0.0.1:1/none:1'])
    expect((await k.ok(['get', 'rs', '-l', 'app=slow', '-o', 'name'])).trim().split('\n')).toHaveLength(1)
    await k.ok(['rollout', 'resume', 'deployment/slow'])
    const status = await k.run(['rollout', 'status', 'deployment/slow', '--timeout=60s'])
    expect(status.code).toBe(1)
    expect(status.stderr).toContain('exceeded its progress deadline')
    expect(await k.ok(['get', 'deployment', 'slow', '-o', 'jsonpath={.status.availableReplicas}'])).toBe('3')
  })
  it('W3: Recreate ends the old pods before it starts the new ones', async () => {
    await k.apply(deployment('all-at-once', 'busybox:1.35', '  strategy: {type: Recreate}'))
    await k.ok(['rollout', 'status', 'deployment/all-at-once', '--timeout=60s'])
    await k.ok(['set', 'image', 'deployment/all-at-once', 'c=busybox:latest'])
    await k.ok(['rollout', 'status', 'deployment/all-at-once', '--timeout=60s'])
    const images = await k.ok([
      'get',
      'pods',
      '-l',
      'app=all-at-once',
      '-o',
      'jsonpath={.items[*].spec.containers[0].image}',
    ])
    expect(new Set(images.split(' '))).toEqual(new Set(['busybox:latest']))
  })
  it('W2: a ReplicaSet adopts by labels and lets go of what loses them', async () => {
    await k.apply(
      `{apiVersion: v1, kind: Pod, metadata: {name: orphan, labels: {app: set}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "100000"]}]}}`,
    )
    await k.ready('orphan')
    await k.apply(
      `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: set}, spec: {replicas: 2, selector: {matchLabels: {app: set}}, template: {metadata: {labels: {app: set}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "100000"]}]}}}}`,
    )
    await expect.poll(() => k.ok(['get', 'rs', 'set', '--no-headers']), { timeout: 60_000 }).toMatch(/^set +2 +2 +2 /)
    expect((await k.pod('orphan')).metadata.ownerReferences?.[0]).toMatchObject({
      kind: 'ReplicaSet',
      name: 'set',
      controller: true,
    })
    await k.ok(['label', 'pod', 'orphan', 'app-', 'free=yes'])
    await expect.poll(async () => (await k.pod('orphan')).metadata.ownerReferences).toBeUndefined()
    await expect
      .poll(async () => (await k.ok(['get', 'pods', '-l', 'app=set', '-o', 'name'])).trim().split('\n').length)
      .toBe(2)
  })
  it('S4: NoExecute drives pods away that do not tolerate it', async () => {
    await k.apply(
      `{apiVersion: v1, kind: Pod, metadata: {name: stays}, spec: {tolerations: [{key: evict, operator: Exists}], containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "100000"]}]}}`,
    )
    await k.apply(
      `{apiVersion: v1, kind: Pod, metadata: {name: goes}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "100000"]}]}}`,
    )
    await Promise.all([k.ready('stays'), k.ready('goes')])
    await k.ok(['taint', 'nodes', '--all', 'evict=now:NoExecute'])
    await expect
      .poll(async () => (await k.run(['get', 'pod', 'goes'])).stderr, { timeout: 60_000 })
      .toContain('NotFound')
    expect((await k.pod('stays')).metadata.deletionTimestamp).toBeUndefined()
    await k.ok(['taint', 'nodes', '--all', 'evict-'])
  })
  it('A7: every step of a pod leaves its trace, in order', async () => {
    await k.apply(
      `{apiVersion: v1, kind: Pod, metadata: {name: traced}, spec: {containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "100000"]}]}}`,
    )
    await k.ready('traced')
    const reasons = (await k.events('traced')).map((e) => e.split(':')[0])
    for (const reason of ['Scheduled', 'Pulled', 'Created', 'Started']) expect(reasons).toContain(reason)
    expect(await k.ok(['describe', 'pod', 'traced'])).toMatch(/Scheduled[\s\S]*Pulled[\s\S]*Created[\s\S]*Started/)
  })

  const refusals: readonly RegExp[] = [
    /unknown field "spec\.volumes\[0\]\.emptuDir"/,
    /unknown field "spec\.template\.spec\.containers\[0\]\.images"/,
    /spec\.containers\[0\]\.volumeMounts\[0\]\.name: Not found: "x"/,
    /Duplicate value: "c"/,
    /spec\.containers\[0\]\.resources\.requests: Invalid value: "2": must be less than or equal to cpu limit of 1/,
    /spec\.template\.spec\.restartPolicy: (Required value|Unsupported value)/,
    /spec\.template\.metadata\.labels: Invalid value: \{"app":"b"\}: `selector` does not match template `labels`/,
  ]
  const bad = parseAllDocuments(readFileSync(new URL('../manifests/06-bad.yaml', import.meta.url), 'utf8')).map((d) =>
    d.toString(),
  )
  it.each(refusals.map((message, i) => [i + 1, message] as const))(
    'bad manifest %i is refused and nothing of it is stored',
    async (number, message) => {
      const manifest = bad[number - 1] ?? ''
      const { code, stderr } = await k.run(['apply', '-f', '-'], manifest)
      expect(code).toBe(1)
      expect(stderr).toMatch(message)
      expect((await k.run(['get', '-f', '-'], manifest)).stderr).toContain('NotFound')
    },
  )
})
