import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { admin, configMap, type TestServer, testServer } from '../../testing/server.ts'

const base = '/api/v1/namespaces/default/configmaps'
const registration = '/apis/admissionregistration.k8s.io/v1'
const rules = [{ operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }]

let server: TestServer
beforeEach(async () => {
  server = await testServer()
})
afterEach(() => server.api.close())

type Sort = 'validating' | 'mutating'
async function policy(sort: Sort, spec: object, binding: object | readonly object[] = {}) {
  const made = await server.call('POST', `${registration}/${sort}admissionpolicies`, {
    metadata: { name: 'p' },
    spec: {
      matchConstraints: { resourceRules: rules },
      ...(sort === 'mutating' ? { reinvocationPolicy: 'Never' } : {}),
      ...spec,
    },
  })
  expect(made.json['message']).toBeUndefined()
  for (const [i, one] of [binding].flat().entries()) {
    const bound = await server.call('POST', `${registration}/${sort}admissionpolicybindings`, {
      metadata: { name: `b${i}` },
      spec: { policyName: 'p', ...(sort === 'validating' ? { validationActions: ['Deny'] } : {}), ...one },
    })
    expect(bound.json['message']).toBeUndefined()
  }
}
const create = (name: string, data: Record<string, string> = {}, more: object = {}) =>
  server.call('POST', base, configMap(name, data, more))

describe('validating admission policies', () => {
  it('refuse in upstream words, from the moment they are bound', async () => {
    await policy('validating', { validations: [{ expression: 'object.data.?a.orValue("") != "bad"' }] })
    expect((await create('ok', { a: 'good' })).status).toBe(201)
    const refused = await create('x', { a: 'bad' })
    const why = `ValidatingAdmissionPolicy 'p' with binding 'b0' denied request: failed expression: object.data.?a.orValue("") != "bad"`
    expect(refused.json).toMatchObject({
      code: 422,
      reason: 'Invalid',
      message: `configmaps "x" is forbidden: ${why}`,
      details: { name: 'x', kind: 'configmaps', causes: [{ message: why }] },
    })
    // an update is asked about as well
    const path = `${base}/ok`
    expect((await server.call('PUT', path, configMap('ok', { a: 'bad' }))).status).toBe(422)
    await server.call('DELETE', `${registration}/validatingadmissionpolicybindings/b0`)
    expect((await create('x', { a: 'bad' })).status).toBe(201)
  })

  it('say what is wrong as they like', async () => {
    await policy('validating', {
      variables: [
        { name: 'a', expression: 'object.data.a' },
        { name: 'length', expression: 'size(variables.a)' },
      ],
      matchConditions: [{ name: 'named', expression: 'object.metadata.name.startsWith("x")' }],
      validations: [
        {
          expression: 'variables.length < 3',
          messageExpression: '"too long: " + string(variables.length)',
          message: 'plain',
          reason: 'Forbidden',
        },
      ],
    })
    const refused = await create('x', { a: 'long' })
    expect(refused.json).toMatchObject({ code: 403, reason: 'Forbidden' })
    expect(refused.json['message']).toMatch(/denied request: too long: 4$/)
    expect((await create('other', { a: 'long' })).status).toBe(201)
    const broken = await create('xx', {})
    expect(broken.json['message']).toMatch(
      /expression 'variables.length < 3' resulted in error: composited variable "length" fails to evaluate: composited variable "a" fails to evaluate: no such key: data$/,
    )
  })

  it('warn, or fail open, where that is asked for', async () => {
    await policy(
      'validating',
      { failurePolicy: 'Ignore', validations: [{ expression: 'object.data.a == "1"', message: 'not one' }] },
      { validationActions: ['Warn', 'Audit'] },
    )
    const warned = await create('x', { a: '2' })
    expect(warned.status).toBe(201)
    expect(warned.headers['warning']).toBe(
      `299 - "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b0': not one"`,
    )
    const open = await create('y')
    expect([open.status, open.headers['warning']]).toEqual([201, undefined])
  })

  it('leave word in the audit log', async () => {
    const auditAnnotations = [{ key: 'k', valueExpression: '"v"' }]
    const validations = [{ expression: 'false', message: 'm' }]
    await policy('validating', { auditAnnotations, validations }, { validationActions: ['Audit'] })
    const notes: Record<string, string> = {}
    const audit = { annotate: (key: string, value: string) => void (notes[key] = value) }
    const headers = { 'content-type': 'application/json' }
    await server.api.handle({ method: 'POST', path: base, headers, user: admin, audit, object: configMap('x') })
    expect(notes['p/k']).toBe('v')
    expect(JSON.parse(notes['validation.policy.admission.k8s.io/validation_failure'] ?? '')).toEqual([
      { message: 'm', policy: 'p', binding: 'b0', expressionIndex: 0, validationActions: ['Audit'] },
    ])
  })

  it('take parameters by name and by label', async () => {
    const validations = [
      { expression: 'object.data.a in params.data', messageExpression: '"not in " + params.metadata.name' },
    ]
    const paramKind = { apiVersion: 'v1', kind: 'ConfigMap' }
    await create('one', { a: '', x: '' }, { labels: { params: 'yes' } })
    await create('two', { b: '', x: '' }, { labels: { params: 'yes' } })
    const matchConditions = [{ name: 'only', expression: 'object.metadata.name.startsWith("t-")' }]
    await policy('validating', { paramKind, validations, matchConditions }, [
      { paramRef: { name: 'one', namespace: 'default', parameterNotFoundAction: 'Deny' } },
      { paramRef: { selector: { matchLabels: { params: 'yes' } }, parameterNotFoundAction: 'Deny' } },
    ])
    expect((await create('t-x', { a: 'x' })).status).toBe(201)
    expect((await create('t-b', { a: 'b' })).json['message']).toMatch(/binding 'b0' denied request: not in one$/)
    expect((await create('t-a', { a: 'a' })).json['message']).toMatch(/binding 'b1' denied request: not in two$/)
    await server.call('DELETE', `${base}/one`)
    expect((await create('t-a', { a: 'a' })).json['message']).toMatch(
      /binding 'b0' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction$/,
    )
  })

  it('are written by those only who may read what parameterizes them', async () => {
    const joe = { name: 'joe', groups: ['system:authenticated'] }
    const rbac = '/apis/rbac.authorization.k8s.io/v1'
    const allow = async (name: string, role: object) => {
      await server.call('POST', `${rbac}/clusterroles`, { metadata: { name }, rules: [role] })
      await server.call('POST', `${rbac}/clusterrolebindings`, {
        metadata: { name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
        subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'joe' }],
      })
    }
    await allow('author', { verbs: ['create'], apiGroups: ['admissionregistration.k8s.io'], resources: ['*'] })
    const write = () =>
      server.call(
        'POST',
        `${registration}/validatingadmissionpolicies`,
        {
          metadata: { name: 'p' },
          spec: {
            paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
            matchConstraints: { resourceRules: rules },
            validations: [{ expression: 'true' }],
          },
        },
        { user: joe },
      )
    const bind = () =>
      server.call(
        'POST',
        `${registration}/validatingadmissionpolicybindings`,
        {
          metadata: { name: 'b' },
          spec: {
            policyName: 'p',
            validationActions: ['Deny'],
            paramRef: { name: 'x', namespace: 'default', parameterNotFoundAction: 'Deny' },
          },
        },
        { user: joe },
      )
    expect((await bind()).json['message']).toMatch(
      /spec.paramRef: Forbidden: user joe does not have "get" permission on the object referenced by paramRef$/,
    )
    expect((await write()).json).toMatchObject({ code: 422, reason: 'Invalid' })
    expect((await write()).json['message']).toMatch(
      /spec.paramKind: Forbidden: user joe must have "get" permission on all objects of the referenced paramKind \(kind=ConfigMap, apiVersion=v1\)$/,
    )
    await allow('reader', { verbs: ['get'], apiGroups: [''], resources: ['configmaps'] })
    expect((await write()).status).toBe(201)
    expect((await bind()).status).toBe(201)
  })

  it('may ask the authorizer and the namespace', async () => {
    await server.call(
      'PATCH',
      '/api/v1/namespaces/default',
      { metadata: { labels: { open: 'yes' } } },
      { headers: { 'content-type': 'application/merge-patch+json' } },
    )
    await policy('validating', {
      validations: [
        { expression: 'namespaceObject.metadata.labels["open"] == "yes"' },
        { expression: 'authorizer.requestResource.check("delete").allowed()' },
        { expression: '!authorizer.serviceAccount("default", "x").path("/healthz/none").check("post").allowed()' },
        {
          expression:
            'authorizer.group("apps").resource("deployments").subresource("scale").namespace("a").name("b").check("get").reason() == ""',
        },
        { expression: 'request.requestKind.kind == "ConfigMap" && oldObject == null' },
      ],
    })
    expect((await create('x')).json['message']).toBeUndefined()
  })

  it('ask with selectors, which an authorizer may look at', async () => {
    const pods = 'authorizer.group("").resource("pods")'
    await policy('validating', {
      validations: [
        { expression: `${pods}.fieldSelector("spec.nodeName=n").labelSelector("a in (b)").check("list").allowed()` },
        { expression: `!${pods}.fieldSelector("spec.nodeName=other").check("list").allowed()` },
        // What cannot be read selects nothing.
        { expression: `!${pods}.fieldSelector("spec.nodeName").check("list").errored()` },
        { expression: `!${pods}.fieldSelector("spec.nodeName").check("list").allowed()` },
      ],
    })
    const user = { name: 'system:node:n', groups: ['system:nodes', 'system:authenticated'] }
    const rbac = '/apis/rbac.authorization.k8s.io/v1'
    const rules = [{ verbs: ['create'], apiGroups: [''], resources: ['configmaps'] }]
    await server.call('POST', `${rbac}/clusterroles`, { metadata: { name: 'writer' }, rules })
    await server.call('POST', `${rbac}/clusterrolebindings`, {
      metadata: { name: 'writer' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'writer' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: user.name }],
    })
    expect((await server.call('POST', base, configMap('y'), { user })).json['message']).toBeUndefined()
  })

  it('are refused where their expressions are wrong', async () => {
    const wrong = async (spec: object) => {
      const matchConstraints = { resourceRules: rules }
      const { json } = await server.call('POST', `${registration}/validatingadmissionpolicies`, {
        metadata: { name: 'p' },
        spec: { matchConstraints, ...spec },
      })
      return json['message'] as unknown as string
    }
    expect(await wrong({ validations: [{ expression: 'object.' }] })).toMatch(
      /spec.validations\[0\].expression: Invalid value: "object.": compilation failed: ERROR: <input>:1:7/,
    )
    expect(await wrong({ validations: [{ expression: '1 + 1' }] })).toMatch(/must evaluate to bool$/)
    expect(await wrong({ validations: [{ expression: 'params.a == 1' }] })).toMatch(/undeclared reference to 'params'/)
    const variables = [{ name: 'a', expression: '1' }]
    expect(await wrong({ variables, validations: [{ expression: 'variables.b == 1' }] })).toMatch(/undefined field 'b'/)
    expect(
      await wrong({ matchConditions: [{ name: 'c', expression: '"x"' }], validations: [{ expression: 'true' }] }),
    ).toMatch(/spec.matchConditions\[0\].expression: Invalid value: "\\"x\\"": must evaluate to bool$/)
  })
})

describe('mutating admission policies', () => {
  it('merge what they make into the object', async () => {
    await policy('mutating', {
      variables: [{ name: 'who', expression: 'request.userInfo.username' }],
      mutations: [
        {
          patchType: 'ApplyConfiguration',
          applyConfiguration: {
            expression:
              'Object{metadata: Object.metadata{labels: {"made-by": variables.who}}, data: {"n": string(size(object.data))}}',
          },
        },
        {
          patchType: 'JSONPatch',
          jsonPatch: {
            expression:
              '[JSONPatch{op: "add", path: "/data/" + jsonpatch.escapeKey("seen"), value: object.data.n}, JSONPatch{op: "remove", path: "/data/a"}]',
          },
        },
      ],
    })
    const { json } = await create('x', { a: '1', b: '2' }, { labels: { own: 'l' } })
    expect(json).toMatchObject({ metadata: { labels: { own: 'l', 'made-by': 'admin' } } })
    expect(json['data']).toEqual({ b: '2', n: '2', seen: '2' })
  })

  it('merge lists by their keys', async () => {
    const pods = [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }]
    await server.call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } })
    await policy('mutating', {
      matchConstraints: { resourceRules: pods },
      mutations: [
        {
          patchType: 'ApplyConfiguration',
          applyConfiguration: {
            expression:
              'Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: "first", image: "busybox"}], containers: object.spec.containers.map(c, Object.spec.containers{name: c.name, workingDir: "/w"})}}',
          },
        },
      ],
    })
    const { json } = await server.call('POST', '/api/v1/namespaces/default/pods', {
      metadata: { name: 'x' },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    })
    expect(json['spec']).toMatchObject({
      initContainers: [{ name: 'first', image: 'busybox', terminationMessagePath: '/dev/termination-log' }],
      containers: [{ name: 'c', image: 'i', workingDir: '/w' }],
    })
  })

  it('fail closed or open', async () => {
    const mutations = [
      { patchType: 'JSONPatch', jsonPatch: { expression: '[JSONPatch{op: "remove", path: "/data/none"}]' } },
    ]
    await policy('mutating', { mutations })
    expect((await create('x', { a: '1' })).json['message']).toMatch(
      /^configmaps "x" is forbidden: policy 'p' with binding 'b0' denied request: /,
    )
    await server.call(
      'PATCH',
      `${registration}/mutatingadmissionpolicies/p`,
      { spec: { failurePolicy: 'Ignore' } },
      {
        headers: { 'content-type': 'application/merge-patch+json' },
      },
    )
    expect((await create('x', { a: '1' })).json['data']).toEqual({ a: '1' })
  })
})
