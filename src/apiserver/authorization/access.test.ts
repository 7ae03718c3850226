import { describe, expect, it } from 'vitest'
import type { PolicyRule } from '../../api/rbac/rbac.ts'
import type { UserInfo } from '../request.ts'
import { podManifest, testServer, textAt } from '../testing/server.ts'
import { uncovered } from './covers.ts'

const base = '/api/v1/namespaces/default'
const rbac = '/apis/rbac.authorization.k8s.io/v1'
const joe: UserInfo = { name: 'joe', groups: ['devs', 'system:authenticated'] }
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` }, user: null })
type Call = Awaited<ReturnType<typeof testServer>>['call']

async function grant(call: Call, rules: readonly object[], subject: object, namespace = 'default') {
  const path = `${rbac}/namespaces/${namespace}`
  await call('POST', `${path}/roles`, { metadata: { name: 'r' }, rules })
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' }
  await call('POST', `${path}/rolebindings`, { metadata: { name: 'b' }, roleRef, subjects: [subject] })
}
const devs = { kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: 'devs' }

describe('RBAC', () => {
  it('allows what a binding grants, where it grants it, from the moment it does', async () => {
    const { call } = await testServer()
    const read = () => call('GET', `${base}/pods`, undefined, { user: joe })
    expect((await read()).json['message']).toBe(
      'pods is forbidden: User "joe" cannot list resource "pods" in API group "" in the namespace "default"',
    )
    await grant(call, [{ verbs: ['list'], apiGroups: [''], resources: ['pods'] }], devs)
    expect((await read()).status).toBe(200)
    expect((await call('GET', '/api/v1/namespaces/kube-system/pods', undefined, { user: joe })).status).toBe(403)
    expect((await call('GET', '/api/v1/pods', undefined, { user: joe })).status).toBe(403)
    await call('DELETE', `${rbac}/namespaces/default/rolebindings/b`)
    expect((await read()).status).toBe(403)
  })
  it('looks at names, subresources and wildcards', async () => {
    const { call } = await testServer()
    await grant(
      call,
      [
        { verbs: ['get'], apiGroups: [''], resources: ['configmaps'], resourceNames: ['a'] },
        { verbs: ['*'], apiGroups: ['apps'], resources: ['*/scale'] },
      ],
      devs,
    )
    const status = async (path: string) => (await call('GET', path, undefined, { user: joe })).status
    expect(await status(`${base}/configmaps/a`)).toBe(404)
    expect(await status(`${base}/configmaps/b`)).toBe(403)
    expect(await status('/apis/apps/v1/namespaces/default/deployments/d/scale')).toBe(404)
    expect(await status('/apis/apps/v1/namespaces/default/deployments/d')).toBe(403)
  })
  it('lets everybody ask how the server is, and nobody more', async () => {
    const { call } = await testServer()
    const status = async (path: string) => (await call('GET', path, undefined, { user: null })).status
    expect([await status('/readyz'), await status('/version'), await status('/api')]).toEqual([200, 200, 403])
    expect(await status('/api/v1/namespaces')).toBe(403)
  })
  it('refuses to give away more than the giver has', async () => {
    const { call } = await testServer()
    const path = `${rbac}/namespaces/default`
    const rules = [
      { verbs: ['create'], apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles', 'rolebindings'] },
      { verbs: ['get'], apiGroups: [''], resources: ['pods'] },
    ]
    await grant(call, rules, devs)
    const role = (name: string, resource: string) => ({
      metadata: { name },
      rules: [{ verbs: ['get'], apiGroups: [''], resources: [resource] }],
    })
    expect((await call('POST', `${path}/roles`, role('own', 'pods'), { user: joe })).status).toBe(201)
    const refused = await call('POST', `${path}/roles`, role('more', 'secrets'), { user: joe })
    expect(refused.json['message']).toBe(
      'roles.rbac.authorization.k8s.io "more" is forbidden: user "joe" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}',
    )
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' }
    const bound = await call(
      'POST',
      `${path}/rolebindings`,
      { metadata: { name: 'x' }, roleRef, subjects: [devs] },
      { user: joe },
    )
    expect(bound.status).toBe(403)
  })
})

describe('covers', () => {
  const all: PolicyRule = { verbs: ['*'], apiGroups: ['*'], resources: ['*'] }
  const pods = (verbs: string[], resourceNames?: string[]): PolicyRule => ({
    verbs,
    apiGroups: [''],
    resources: ['pods'],
    ...(resourceNames === undefined ? {} : { resourceNames }),
  })
  it.each<[string, readonly PolicyRule[], readonly PolicyRule[], number]>([
    ['everything covers something', [all], [pods(['get', 'list'])], 0],
    ['something does not cover everything', [pods(['get'])], [all], 1],
    ['one verb of two', [pods(['get'])], [pods(['get', 'list'])], 1],
    ['rules add up', [pods(['get']), pods(['list'])], [pods(['get', 'list'])], 0],
    ['a name does not cover all names', [pods(['get'], ['a'])], [pods(['get'])], 1],
    ['all names cover a name', [pods(['get'])], [pods(['get'], ['a'])], 0],
    [
      'URLs by prefix',
      [{ verbs: ['get'], nonResourceURLs: ['/a/*'] }],
      [{ verbs: ['get'], nonResourceURLs: ['/a/b'] }],
      0,
    ],
    ['a URL is no resource', [all], [{ verbs: ['get'], nonResourceURLs: ['/a'] }], 1],
  ])('%s', (_, owned, wanted, missing) => {
    expect(uncovered(owned, wanted)).toHaveLength(missing)
  })
})

describe('service account tokens', () => {
  const request = (spec: object = {}) => ({ spec })
  async function account(call: Call): Promise<void> {
    await call('POST', `${base}/serviceaccounts`, { metadata: { name: 'default' } })
  }
  const who = (call: Call, token: string) =>
    call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {}, bearer(token))

  it('name the account, end with time and die with the account', async () => {
    const { call, clock } = await testServer()
    await account(call)
    const made = await call('POST', `${base}/serviceaccounts/default/token`, request({ expirationSeconds: 600 }))
    const token = textAt(made.json, 'status', 'token')
    expect(textAt(made.json, 'status', 'expirationTimestamp')).toBe('2026-01-01T00:10:00Z')
    expect((await who(call, token)).json['status']?.['userInfo']).toMatchObject({
      username: 'system:serviceaccount:default:default',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'],
    })
    clock.advance(601_000)
    expect((await who(call, token)).status).toBe(401)
    const again = await call('POST', `${base}/serviceaccounts/default/token`, request())
    await call('DELETE', `${base}/serviceaccounts/default`)
    await account(call)
    expect((await who(call, textAt(again.json, 'status', 'token'))).status).toBe(401)
  })
  it('bound to a pod die with it', async () => {
    const { call } = await testServer()
    await account(call)
    const pod = await call('POST', `${base}/pods`, podManifest('p'))
    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'p', uid: textAt(pod.json, 'metadata', 'uid') }
    const made = await call('POST', `${base}/serviceaccounts/default/token`, request({ boundObjectRef }))
    const token = textAt(made.json, 'status', 'token')
    expect((await who(call, token)).json['status']?.['userInfo']?.['extra']).toMatchObject({
      'authentication.kubernetes.io/pod-name': ['p'],
    })
    await call('DELETE', `${base}/pods/p`)
    expect((await who(call, token)).status).toBe(401)
    const gone = await call('POST', `${base}/serviceaccounts/default/token`, request({ boundObjectRef }))
    expect(gone.json['message']).toBe('pods "p" not found')
  })
  it('for another audience are no key to the API, and are reviewed for it', async () => {
    const { call } = await testServer()
    await account(call)
    const made = await call('POST', `${base}/serviceaccounts/default/token`, request({ audiences: ['vault'] }))
    const token = textAt(made.json, 'status', 'token')
    expect((await who(call, token)).status).toBe(401)
    const review = (audiences: string[]) =>
      call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token, audiences } })
    expect((await review(['vault', 'other'])).json['status']).toMatchObject({
      authenticated: true,
      audiences: ['vault'],
    })
    expect((await review(['other'])).json['status']?.['error']).toBe('invalid bearer token')
  })
  it('that are no tokens are refused', async () => {
    const { call } = await testServer()
    for (const token of ['x', 'a.b.c', 'test.e30.sig']) expect((await who(call, token)).status).toBe(401)
  })
})

describe('impersonation', () => {
  const as = (headers: Record<string, string>, user?: UserInfo) => ({
    headers,
    ...(user === undefined ? {} : { user }),
  })
  it('acts as somebody else for those who may', async () => {
    const { call } = await testServer()
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
    const headers = { 'impersonate-user': 'ann', 'impersonate-group': 'a, b', 'impersonate-extra-scopes': 'x' }
    expect((await call('POST', path, {}, as(headers))).json['status']?.['userInfo']).toEqual({
      username: 'ann',
      groups: ['a', 'b', 'system:authenticated'],
      extra: { scopes: ['x'] },
    })
    const refused = await call('POST', path, {}, as({ 'impersonate-user': 'ann' }, joe))
    expect(refused.json['message']).toBe(
      'users "ann" is forbidden: User "joe" cannot impersonate resource "users" in API group "" at the cluster scope',
    )
  })
})

describe('nodes', () => {
  it('see the certificates that Ingresses name, and no other Secret', async () => {
    const { call } = await testServer()
    const node: UserInfo = { name: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] }
    for (const name of ['cert', 'other'])
      await call('POST', `${base}/secrets`, { kind: 'Secret', apiVersion: 'v1', metadata: { name } })
    const status = async (name: string) =>
      (await call('GET', `${base}/secrets/${name}`, undefined, { user: node })).status
    expect([await status('cert'), await status('other')]).toEqual([403, 403])
    await call('POST', '/apis/networking.k8s.io/v1/namespaces/default/ingresses', {
      kind: 'Ingress',
      apiVersion: 'networking.k8s.io/v1',
      metadata: { name: 'web' },
      spec: {
        tls: [{ hosts: ['a.example'], secretName: 'cert' }],
        defaultBackend: { service: { name: 's', port: { number: 80 } } },
      },
    })
    expect([await status('cert'), await status('other')]).toEqual([200, 403])
  })
})

describe('reviews', () => {
  const path = '/apis/authorization.k8s.io/v1'
  it('answer what somebody may do', async () => {
    const { call } = await testServer()
    await grant(call, [{ verbs: ['list'], apiGroups: [''], resources: ['pods'] }], devs)
    const ask = async (namespace: string) => {
      const resourceAttributes = { verb: 'list', resource: 'pods', namespace }
      const { json } = await call('POST', `${path}/subjectaccessreviews`, {
        spec: { user: 'joe', groups: ['devs'], resourceAttributes },
      })
      return json['status']
    }
    expect(await ask('default')).toEqual({
      allowed: true,
      reason: 'RBAC: allowed by RoleBinding "b/default" of Role "r" to Group "devs"',
    })
    expect(await ask('kube-system')).toEqual({ allowed: false })
    const rules = await call(
      'POST',
      `${path}/selfsubjectrulesreviews`,
      { spec: { namespace: 'default' } },
      { user: joe },
    )
    expect(rules.json['status']?.['resourceRules']).toContainEqual({
      verbs: ['list'],
      apiGroups: [''],
      resources: ['pods'],
    })
  })
})

describe('selectors', () => {
  const kubelet: UserInfo = { name: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] }
  const reason = 'can only list/watch pods with spec.nodeName field selector'
  it('a node takes away resource slices of its own drivers alone', async () => {
    const { call } = await testServer()
    const slices = '/apis/resource.k8s.io/v1/resourceslices'
    const remove = async (query: string) =>
      (await call('DELETE', `${slices}?fieldSelector=${query}`, undefined, { user: kubelet })).status
    expect(await remove('spec.nodeName%3Dn1')).toBe(200)
    expect(await remove('spec.nodeName%3Dn1,spec.driver%3Dd.example')).toBe(200)
    expect(await remove('spec.nodeName%3Dn2')).toBe(403)
    expect(await remove('spec.driver%3Dd.example')).toBe(403)
    expect((await call('GET', slices, undefined, { user: kubelet })).status).toBe(403)
  })
  it('a node reads its own pods and its own Node', async () => {
    const { call } = await testServer()
    await call('POST', `${base}/serviceaccounts`, { metadata: { name: 'default' } })
    expect((await call('POST', `${base}/pods`, podManifest('p', { spec: { nodeName: 'n2' } }))).status).toBe(201)
    const status = async (path: string) => (await call('GET', path, undefined, { user: kubelet })).status
    expect(await status('/api/v1/pods?fieldSelector=spec.nodeName%3Dn1')).toBe(200)
    expect(await status('/api/v1/pods?fieldSelector=spec.nodeName%3Dn2')).toBe(403)
    expect(await status('/api/v1/pods?fieldSelector=spec.nodeName!%3Dn1')).toBe(403)
    expect(await status('/api/v1/pods')).toBe(403)
    expect(await status(`${base}/pods/p`)).toBe(403)
    expect(await status(`${base}/pods/none`)).toBe(404)
    expect(await status('/api/v1/nodes/n1')).toBe(404)
    expect(await status('/api/v1/nodes/n2')).toBe(403)
    expect(await status('/api/v1/nodes')).toBe(403)
    expect(await status('/api/v1/nodes?fieldSelector=metadata.name%3Dn1')).toBe(200)
  })
  it.each([
    ['as text', { rawSelector: 'spec.nodeName=n1' }, true],
    ['as requirements', { requirements: [{ key: 'spec.nodeName', operator: 'In', values: ['n1'] }] }, true],
    ['that say less', { requirements: [{ key: 'spec.nodeName', operator: 'NotIn', values: ['n1'] }] }, false],
    ['that nobody can read', { rawSelector: 'spec.nodeName' }, false],
  ])('are told in reviews: fields %s', async (_how, fieldSelector, allowed) => {
    const { call } = await testServer()
    const resourceAttributes = { verb: 'list', resource: 'pods', fieldSelector }
    const spec = { user: kubelet.name, groups: kubelet.groups, resourceAttributes }
    const { json } = await call('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { spec })
    expect(json['status']).toEqual(allowed ? { allowed } : { allowed, reason })
  })
  it('are one or the other in reviews', async () => {
    const { call } = await testServer()
    const resourceAttributes = { verb: 'list', resource: 'pods', labelSelector: {} }
    const spec = { user: 'joe', resourceAttributes }
    const { status, json } = await call('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { spec })
    expect([status, textAt(json, 'message')]).toEqual([
      422,
      expect.stringContaining('requirements: Required value: when spec.resourceAttributes.labelSelector is specified'),
    ])
  })
})
