import { describe, expect, it } from 'vitest'
import { auditPolicies } from '../../api/audit/policy.ts'
import { ConfigError, readConfig } from '../../api/machinery/config-file.ts'
import type { AuditEvent } from '../../ports/audit.ts'
import { noOutgoing, type Outgoing } from '../../ports/outgoing.ts'
import { configMap, testServer, WatchReader } from '../testing/server.ts'

const maps = '/api/v1/namespaces/default/configmaps'
async function audited(rules: string, outgoing: Outgoing = noOutgoing) {
  const events: AuditEvent[] = []
  const policy = readConfig(`apiVersion: audit.k8s.io/v1\nkind: Policy\n${rules}`, auditPolicies)
  const server = await testServer({
    outgoing,
    audit: { policy, log: { write: (event) => void events.push(event) } },
    tokens: new Map([['joe', { name: 'joe', groups: ['devs'] }]]),
  })
  // What the server does for itself while it starts is not what these tests are about.
  events.length = 0
  const of = (verb: string) =>
    events.filter((event) => event.verb === verb && event.user.username !== 'system:apiserver')
  return { ...server, events, of }
}

describe('the audit log', () => {
  it('tells who did what, to what, and how it ended', async () => {
    const { call, of } = await audited('rules: [{level: Metadata}]')
    await call('POST', maps, configMap('a', { secret: 'x' }))
    const [received, complete] = of('create')
    expect([received?.stage, complete?.stage]).toEqual(['RequestReceived', 'ResponseComplete'])
    expect(received?.auditID).toBe(complete?.auditID)
    expect(complete).toMatchObject({
      level: 'Metadata',
      requestURI: maps,
      user: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
      sourceIPs: ['127.0.0.1'],
      objectRef: { resource: 'configmaps', namespace: 'default', name: 'a', apiVersion: 'v1' },
      responseStatus: { metadata: {}, code: 201 },
      annotations: { 'authorization.k8s.io/decision': 'allow', 'authorization.k8s.io/reason': '' },
    })
    expect(complete?.requestReceivedTimestamp).toMatch(/^2026-01-01T00:00:00\.\d{6}Z$/)
    expect(JSON.stringify(of('create'))).not.toContain('secret')
  })
  it('holds bodies as far as the rule says, and leaves managedFields out where asked', async () => {
    const { call, of } = await audited(
      'omitStages: [RequestReceived]\nrules:\n- {level: RequestResponse, verbs: [create], omitManagedFields: true}\n- {level: Request, verbs: [patch]}\n- {level: None}',
    )
    await call('POST', maps, configMap('a', { k: 'v' }))
    await call(
      'PATCH',
      `${maps}/a`,
      { data: { k: 'w' } },
      { headers: { 'content-type': 'application/merge-patch+json' } },
    )
    await call('GET', `${maps}/a`)
    const [created] = of('create')
    expect(created?.requestObject).toMatchObject({ kind: 'ConfigMap', data: { k: 'v' } })
    expect(created?.responseObject).toMatchObject({ metadata: { namespace: 'default' }, data: { k: 'v' } })
    expect(JSON.stringify(created)).not.toContain('managedFields')
    const [patched] = of('patch')
    expect(patched?.requestObject).toEqual({ data: { k: 'w' } })
    expect(patched).not.toHaveProperty('responseObject')
    expect(of('get')).toEqual([])
  })
  it('tells of refusals, of callers that nobody knows, and of acting as somebody else', async () => {
    const { call, of, events } = await audited('rules: [{level: Request}]')
    await call('DELETE', `${maps}/a`, undefined, { headers: { authorization: 'Bearer joe' }, user: null })
    expect(of('delete').at(-1)).toMatchObject({
      user: { username: 'joe' },
      responseStatus: { status: 'Failure', reason: 'Forbidden', code: 403 },
      annotations: { 'authorization.k8s.io/decision': 'forbid' },
    })
    await call('GET', maps, undefined, { headers: { authorization: 'Bearer ann' }, user: null })
    expect(events.at(-1)).toMatchObject({
      stage: 'ResponseStarted',
      user: { username: '' },
      responseStatus: { reason: 'Unauthorized', message: 'Authentication failed', code: 401 },
    })
    await call('GET', `${maps}/a`, undefined, { headers: { 'impersonate-user': 'ann' } })
    expect(of('get').at(-1)).toMatchObject({ user: { username: 'admin' }, impersonatedUser: { username: 'ann' } })
  })
  it('tells when a watch began and when it ended', async () => {
    const { call, of } = await audited('rules: [{level: RequestResponse}]')
    const { response } = await call('GET', `${maps}?watch=true&allowWatchBookmarks=true`)
    const reader = new WatchReader(response)
    const stages = () => of('watch').map(({ stage }) => stage)
    expect(stages()).toEqual(['RequestReceived', 'ResponseStarted'])
    reader.close()
    expect(stages()).toEqual(['RequestReceived', 'ResponseStarted', 'ResponseComplete'])
  })
  it('tells when a connection that left HTTP began and when it ended', async () => {
    const stream = {
      readable: (async function* (): AsyncGenerator<Uint8Array> {})(),
      write: async () => {},
      end: async () => {},
      destroy: () => {},
    }
    const upgrade: Outgoing['upgrade'] = async () => ({ ok: true, headers: {}, stream })
    const { call, of } = await audited('rules: [{level: Metadata}]', { ...noOutgoing, upgrade })
    await call('POST', '/api/v1/nodes', { metadata: { name: 'n' } })
    const addresses = [{ type: 'InternalIP', address: '192.0.2.1' }]
    const merge = { headers: { 'content-type': 'application/merge-patch+json' } }
    await call('PATCH', '/api/v1/nodes/n/status', { status: { addresses } }, merge)
    const request = { upgrade: 'websocket' }
    const { response } = await call('GET', '/api/v1/nodes/n:8080/proxy/x', undefined, { request })
    const told = () =>
      of('get')
        .filter(({ objectRef }) => objectRef?.subresource === 'proxy')
        .map(({ stage, responseStatus }) => `${stage} ${responseStatus?.code ?? ''}`)
    expect(told()).toEqual(['RequestReceived ', 'ResponseStarted 101'])
    if (response.kind !== 'upgrade') throw new Error(`no upgrade: ${response.kind}`)
    response.ended?.()
    response.ended?.()
    expect(told()).toEqual(['RequestReceived ', 'ResponseStarted 101', 'ResponseComplete 101'])
  })
  it('carries what admission has to say', async () => {
    const { call, of } = await audited('rules: [{level: Metadata, resources: [{resources: [pods]}]}]')
    await call('POST', '/api/v1/namespaces', {
      metadata: { name: 'strict', labels: { 'pod-security.kubernetes.io/audit': 'restricted' } },
    })
    await call('POST', '/api/v1/namespaces/strict/serviceaccounts', { metadata: { name: 'default' } })
    await call('POST', '/api/v1/namespaces/strict/pods', {
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    })
    expect(of('create').at(-1)?.annotations).toMatchObject({
      'pod-security.kubernetes.io/enforce-policy': 'privileged:latest',
      'pod-security.kubernetes.io/audit-violations': expect.stringMatching(
        /^would violate PodSecurity "restricted:latest": /,
      ),
    })
  })
})

describe('policy rules', () => {
  const pod = '/api/v1/namespaces/default/pods/p'
  it.each([
    [
      'a resource, but not its subresources',
      'resources: [{resources: [pods]}]',
      { [pod]: true, [`${pod}/status`]: false },
    ],
    ['subresources by pattern', 'resources: [{resources: ["pods/*"]}]', { [pod]: false, [`${pod}/status`]: true }],
    ['a group', 'resources: [{group: apps}]', { [pod]: false, '/apis/apps/v1/deployments': true, '/version': false }],
    ['names', 'resources: [{resources: [pods], resourceNames: [q]}]', { [pod]: false, [pod.replace(/p$/, 'q')]: true }],
    ['namespaces', 'namespaces: [kube-system]', { [pod]: false, [pod.replace('default', 'kube-system')]: true }],
    ['objects of no namespace', 'namespaces: [""]', { [pod]: false, '/api/v1/nodes': true, '/version': false }],
    [
      'URLs',
      'nonResourceURLs: ["/healthz*", /version]',
      { '/version': true, '/healthz/etcd': true, '/livez': false, [pod]: false },
    ],
    ['users', 'users: [joe]', { [pod]: false }],
    ['groups', 'userGroups: ["system:masters"]', { [pod]: true }],
  ])('choose %s', async (_, rule, wanted) => {
    const { call, events } = await audited(`rules: [{level: Metadata, ${rule}}]`)
    for (const [path, told] of Object.entries(wanted)) {
      events.length = 0
      await call('GET', path)
      expect([path, events.some((event) => event.requestURI === path)]).toEqual([path, told])
    }
  })
  it.each([
    ['rules: []', 'rules: Required value: a policy without rules writes nothing'],
    [
      'rules: [{level: All}]',
      'rules[0].level: Unsupported value: "All": supported values: "Metadata", "None", "Request", "RequestResponse"',
    ],
    ['rules: [{level: None, verb: [get]}]', 'unknown field "rules[0].verb"'],
    [
      'rules: [{level: None, nonResourceURLs: ["/a*b"]}]',
      'rules[0].nonResourceURLs[0]: Invalid value: "/a*b": non-resource URL wildcards "*" must be the final character of the rule',
    ],
    [
      'rules: [{level: None, omitStages: [End]}]',
      'rules[0].omitStages[0]: Unsupported value: "End": supported values: "Panic", "RequestReceived", "ResponseComplete", "ResponseStarted"',
    ],
  ])('%s is refused', (text, message) => {
    const read = () => readConfig(`apiVersion: audit.k8s.io/v1\nkind: Policy\n${text}`, auditPolicies)
    expect(read).toThrow(new ConfigError(message))
  })
  it('of another kind are refused', () => {
    expect(() => readConfig('apiVersion: v1\nkind: Policy\nrules: []', auditPolicies)).toThrow(
      'expected apiVersion "audit.k8s.io/v1", kind "Policy", found apiVersion "v1", kind "Policy"',
    )
  })
})
