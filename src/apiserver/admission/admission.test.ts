import { describe, expect, it } from 'vitest'
import { podManifest, testServer, textAt } from '../testing/server.ts'

const base = '/api/v1/namespaces/default'
const merge = { headers: { 'content-type': 'application/merge-patch+json' } }
async function serverWithAccount() {
  const server = await testServer()
  await server.call('POST', `${base}/serviceaccounts`, { metadata: { name: 'default' } })
  return server
}
const withResources = (name: string, resources: object) =>
  podManifest(name, { spec: { containers: [{ name: 'c', image: 'i', resources }] } })

describe('ServiceAccount', () => {
  it('gives a pod its account, token volume and pull secrets', async () => {
    const { call } = await testServer()
    await call('POST', `${base}/serviceaccounts`, { metadata: { name: 'default' }, imagePullSecrets: [{ name: 's' }] })
    const { json } = await call('POST', `${base}/pods`, podManifest('p'))
    const spec = json['spec'] as unknown as {
      serviceAccountName: string
      imagePullSecrets: unknown
      volumes: { name: string; projected: { sources: object[] } }[]
      containers: { volumeMounts: { name: string; mountPath: string; readOnly: boolean }[] }[]
    }
    expect(spec.serviceAccountName).toBe('default')
    expect(spec.imagePullSecrets).toEqual([{ name: 's' }])
    const [volume] = spec.volumes
    expect(volume?.name).toMatch(/^kube-api-access-.{5}$/)
    expect(volume?.projected.sources.map((s) => Object.keys(s)[0])).toEqual([
      'serviceAccountToken',
      'configMap',
      'downwardAPI',
    ])
    expect(spec.containers[0]?.volumeMounts).toEqual([
      { name: volume?.name, readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
    ])
    const without = await call(
      'POST',
      `${base}/pods`,
      podManifest('q', { spec: { automountServiceAccountToken: false } }),
    )
    expect(without.json['spec']?.['volumes']).toBeUndefined()
  })
  it('waits a moment for an account that is about to be made, then refuses', async () => {
    const { call, clock } = await testServer()
    const soon = call('POST', `${base}/pods`, podManifest('p'))
    await call('POST', `${base}/serviceaccounts`, { metadata: { name: 'default' } })
    expect((await soon).status).toBe(201)
    const never = call('POST', `${base}/pods`, podManifest('q', { spec: { serviceAccountName: 'x' } }))
    await call('GET', `${base}/pods`)
    clock.advance(2000)
    expect((await never).json['message']).toBe(
      'pods "q" is forbidden: error looking up service account default/x: serviceaccount "x" not found',
    )
  })
})

describe('Priority', () => {
  it('turns a class into a number and refuses what is not there', async () => {
    const { call } = await serverWithAccount()
    const pod = await call(
      'POST',
      `${base}/pods`,
      podManifest('p', { spec: { priorityClassName: 'system-node-critical' } }),
    )
    expect(pod.json['spec']).toMatchObject({ priority: 2000001000, preemptionPolicy: 'PreemptLowerPriority' })
    const none = await call('POST', `${base}/pods`, podManifest('q', { spec: { priorityClassName: 'x' } }))
    expect(none.json['message']).toBe('pods "q" is forbidden: no PriorityClass with name x was found')
    const number = await call('POST', `${base}/pods`, podManifest('r', { spec: { priority: 5 } }))
    expect(number.json['message']).toMatch(/the integer value of priority \(5\) must not be provided in pod spec/)
  })
})

describe('LimitRanger', () => {
  const range = (limits: object) => ({ metadata: { name: 'l' }, spec: { limits: [limits] } })
  it('fills in defaults and says so', async () => {
    const { call } = await serverWithAccount()
    await call(
      'POST',
      `${base}/limitranges`,
      range({ type: 'Container', default: { cpu: '1' }, defaultRequest: { cpu: '100m' } }),
    )
    const { json } = await call('POST', `${base}/pods`, podManifest('p'))
    expect(json['spec']?.['containers']?.[0 as unknown as string]?.['resources']).toEqual({
      limits: { cpu: '1' },
      requests: { cpu: '100m' },
    })
    expect(json['metadata']?.['annotations']).toEqual({
      'kubernetes.io/limit-ranger': 'LimitRanger plugin set: cpu limit for container c; cpu request for container c',
    })
  })
  it.each([
    [
      { type: 'Container', max: { cpu: '1' } },
      { limits: { cpu: '2' } },
      'maximum cpu usage per Container is 1, but limit is 2',
    ],
    [
      { type: 'Container', min: { cpu: '1' } },
      { requests: { cpu: '500m' } },
      'minimum cpu usage per Container is 1, but request is 500m',
    ],
    [{ type: 'Pod', max: { memory: '1Gi' } }, {}, 'maximum memory usage per Pod is 1Gi.  No limit is specified'],
    [
      { type: 'Container', maxLimitRequestRatio: { cpu: '2' } },
      { limits: { cpu: '3' }, requests: { cpu: '1' } },
      'cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000',
    ],
  ])('%j refuses %j', async (limits, resources, message) => {
    const { call } = await serverWithAccount()
    await call('POST', `${base}/limitranges`, range(limits))
    const { json } = await call('POST', `${base}/pods`, withResources('p', resources))
    expect(json['message']).toBe(`pods "p" is forbidden: ${message}`)
  })
})

describe('ResourceQuota', () => {
  const quota = async (call: Awaited<ReturnType<typeof testServer>>['call'], hard: object, more: object = {}) => {
    await call('POST', `${base}/resourcequotas`, { metadata: { name: 'q' }, spec: { hard, ...more } })
    // what the quota controller does when it first sees it
    await call('PATCH', `${base}/resourcequotas/q/status`, { status: { hard, used: {} } }, merge)
  }
  it('charges before it lets in, and never more than there is', async () => {
    const { call } = await serverWithAccount()
    await quota(call, { pods: '3', 'requests.cpu': '2' })
    const made = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        call('POST', `${base}/pods`, withResources(`p${i}`, { requests: { cpu: '500m' } })),
      ),
    )
    expect(made.filter((m) => m.status === 201)).toHaveLength(3)
    const refused = made.find((m) => m.status === 403)
    expect(textAt(refused?.json ?? {}, 'message')).toMatch(
      /^pods "p\d" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3$/,
    )
    const { json } = await call('GET', `${base}/resourcequotas/q`)
    expect(json['status']?.['used']).toEqual({ pods: '3', 'requests.cpu': '1500m' })
  })
  it('obliges containers to say what a quota limits', async () => {
    const { call } = await serverWithAccount()
    await quota(call, { 'requests.cpu': '2', 'limits.memory': '1Gi' })
    const { json } = await call('POST', `${base}/pods`, podManifest('p'))
    expect(json['message']).toBe(
      'pods "p" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c',
    )
  })
  it('counts any kind, and looks at scopes', async () => {
    const { call } = await serverWithAccount()
    await quota(call, { 'count/configmaps': '1' })
    expect((await call('POST', `${base}/configmaps`, { metadata: { name: 'a' } })).status).toBe(201)
    expect((await call('POST', `${base}/configmaps`, { metadata: { name: 'b' } })).status).toBe(403)
    const scoped = await serverWithAccount()
    await quota(scoped.call, { pods: '0' }, { scopes: ['BestEffort'] })
    expect((await scoped.call('POST', `${base}/pods`, podManifest('p'))).status).toBe(403)
    expect((await scoped.call('POST', `${base}/pods`, withResources('q', { requests: { cpu: '1' } }))).status).toBe(201)
  })
})

describe('PodSecurity', () => {
  const inNamespace = async (labels: object) => {
    const { call } = await testServer()
    await call('POST', '/api/v1/namespaces', { metadata: { name: 'n', labels } })
    await call('POST', '/api/v1/namespaces/n/serviceaccounts', { metadata: { name: 'default' } })
    return (spec: object) => call('POST', '/api/v1/namespaces/n/pods', podManifest('p', { spec }))
  }
  it('enforces the restricted standard in its words', async () => {
    const create = await inNamespace({ 'pod-security.kubernetes.io/enforce': 'restricted' })
    expect((await create({})).json['message']).toBe(
      'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    )
    const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } }
    const good = await create({
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [{ name: 'c', image: 'i', securityContext }],
    })
    expect(good.status).toBe(201)
  })
  it.each([
    [{ hostNetwork: true, hostPID: true }, 'host namespaces (hostNetwork=true, hostPID=true)'],
    [{ volumes: [{ name: 'v', hostPath: { path: '/' } }] }, 'hostPath volumes (volume "v")'],
    [
      { containers: [{ name: 'c', image: 'i', securityContext: { privileged: true } }] },
      'privileged (container "c" must not set securityContext.privileged=true)',
    ],
    [
      { containers: [{ name: 'c', image: 'i', securityContext: { capabilities: { add: ['SYS_ADMIN'] } } }] },
      'non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add)',
    ],
    [
      { containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 1, hostPort: 80 }] }] },
      'hostPort (container "c" uses hostPort 80)',
    ],
  ])('baseline refuses %j', async (spec, text) => {
    const create = await inNamespace({ 'pod-security.kubernetes.io/enforce': 'baseline' })
    expect(textAt((await create(spec)).json, 'message')).toContain(`violates PodSecurity "baseline:latest": ${text}`)
  })
  it('warns without refusing', async () => {
    const create = await inNamespace({ 'pod-security.kubernetes.io/warn': 'baseline' })
    const made = await create({ hostNetwork: true })
    expect(made.status).toBe(201)
    expect(made.headers['warning']).toContain('would violate PodSecurity')
  })
})

describe('NodeRestriction', () => {
  const kubelet = { user: { name: 'system:node:a', groups: ['system:nodes', 'system:authenticated'] } }
  it('keeps a kubelet to its own node and pods', async () => {
    const { call } = await serverWithAccount()
    const own = await call('POST', '/api/v1/nodes', { metadata: { name: 'a' } }, kubelet)
    expect(own.status).toBe(201)
    const other = await call('POST', '/api/v1/nodes', { metadata: { name: 'b' } }, kubelet)
    expect(other.json['message']).toBe('nodes "b" is forbidden: node "a" is not allowed to modify node "b"')
    const isolated = await call(
      'PATCH',
      '/api/v1/nodes/a',
      { metadata: { labels: { 'node-restriction.kubernetes.io/x': '1' } } },
      { ...kubelet, ...merge },
    )
    expect(isolated.json['message']).toBe(
      'nodes "a" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/x',
    )
    await call('POST', `${base}/pods`, podManifest('mine', { spec: { nodeName: 'a' } }))
    await call('POST', `${base}/pods`, podManifest('theirs', { spec: { nodeName: 'b' } }))
    expect(
      (await call('PATCH', `${base}/pods/mine/status`, { status: { phase: 'Running' } }, { ...kubelet, ...merge }))
        .status,
    ).toBe(200)
    expect(
      (await call('PATCH', `${base}/pods/theirs/status`, { status: { phase: 'Running' } }, { ...kubelet, ...merge }))
        .status,
    ).toBe(403)
    expect(
      (await call('POST', `${base}/pods`, podManifest('plain', { spec: { nodeName: 'a' } }), kubelet)).status,
    ).toBe(403)
  })
  it('lets a kubelet read only what its pods use', async () => {
    const { call } = await serverWithAccount()
    await call('POST', `${base}/secrets`, { metadata: { name: 'used' } })
    await call('POST', `${base}/secrets`, { metadata: { name: 'other' } })
    const volumes = [{ name: 'v', secret: { secretName: 'used' } }]
    await call('POST', `${base}/pods`, podManifest('p', { spec: { nodeName: 'a', volumes } }))
    expect((await call('GET', `${base}/secrets/used`, undefined, kubelet)).status).toBe(200)
    expect((await call('GET', `${base}/secrets?fieldSelector=metadata.name%3Dused`, undefined, kubelet)).status).toBe(
      200,
    )
    expect((await call('GET', `${base}/secrets`, undefined, kubelet)).status).toBe(403)
    const refused = await call('GET', `${base}/secrets/other`, undefined, kubelet)
    expect(refused.json['message']).toBe(
      'secrets "other" is forbidden: User "system:node:a" cannot get resource "secrets" in API group "" in the namespace "default": no relationship found between node "a" and this object',
    )
  })
})

describe('storage', () => {
  it('protects what is in use and picks the newest default class', async () => {
    const { call, clock } = await testServer()
    const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' }
    for (const name of ['old', 'new']) {
      await call('POST', '/apis/storage.k8s.io/v1/storageclasses', {
        metadata: { name, annotations },
        provisioner: 'x',
      })
      clock.advance(1000)
    }
    const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } }
    const { json } = await call('POST', `${base}/persistentvolumeclaims`, { metadata: { name: 'c' }, spec })
    expect(json).toMatchObject({
      metadata: { finalizers: ['kubernetes.io/pvc-protection'] },
      spec: { storageClassName: 'new' },
    })
  })
})

describe('DeviceAdminAccess', () => {
  it('is granted in namespaces alone that are marked for it', async () => {
    const { call } = await testServer()
    const claims = '/apis/resource.k8s.io/v1/namespaces/default/resourceclaims'
    const exactly = { deviceClassName: 'gpu', adminAccess: true }
    const claim = { metadata: { name: 'x' }, spec: { devices: { requests: [{ name: 'r', exactly }] } } }
    expect((await call('POST', claims, claim)).json['message']).toBe(
      'ResourceClaim.resource.k8s.io "x" is invalid: spec.devices.requests[0].exactly.adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace',
    )
    await call(
      'PATCH',
      '/api/v1/namespaces/default',
      { metadata: { labels: { 'resource.kubernetes.io/admin-access': 'true' } } },
      merge,
    )
    expect((await call('POST', claims, claim)).status).toBe(201)
  })
})
