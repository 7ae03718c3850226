import { describe, expect, it } from 'vitest'
import { configMap, podManifest, send, testServer, textAt, WatchReader } from '../testing/server.ts'

const maps = '/api/v1/namespaces/default/configmaps'

describe('create', () => {
  it('fills in what the server decides', async () => {
    const { call } = await testServer()
    const made = await call(
      'POST',
      maps,
      configMap('a', { k: 'v' }, { uid: 'mine', creationTimestamp: '2001-01-01T00:00:00Z' }),
    )
    expect(made.status).toBe(201)
    const { metadata } = made.json
    expect(metadata).toMatchObject({ name: 'a', namespace: 'default', creationTimestamp: '2026-01-01T00:00:00Z' })
    expect(metadata?.['uid']).not.toBe('mine')
    expect(await call('GET', `${maps}/a`)).toMatchObject({ status: 200, json: made.json })
  })
  it('answers upstream sentences', async () => {
    const { call } = await testServer()
    await call('POST', maps, configMap('a'))
    const message = async (path: string, body: unknown, method: 'POST' | 'GET' = 'POST') => {
      const { json } = await call(method, path, body)
      return `${textAt(json, 'code')} ${textAt(json, 'reason')} ${textAt(json, 'message')}`
    }
    expect(await message(maps, configMap('a'))).toBe('409 AlreadyExists configmaps "a" already exists')
    expect(await message(`${maps}/x`, undefined, 'GET')).toBe('404 NotFound configmaps "x" not found')
    expect(await message('/api/v1/namespaces/no/configmaps', configMap('a'))).toBe(
      '404 NotFound namespaces "no" not found',
    )
    expect(await message(maps, configMap('a', {}, { namespace: 'other' }))).toBe(
      '400 BadRequest the namespace of the provided object does not match the namespace sent on the request',
    )
    expect(await message(maps, { ...configMap('a'), apiVersion: 'v2' })).toBe(
      '400 BadRequest ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2" in scheme "pkg/api/legacyscheme/scheme.go:30"',
    )
    expect(await message(maps, configMap('A!'))).toMatch(
      /^422 Invalid ConfigMap "A!" is invalid: metadata.name: Invalid value: "A!"/,
    )
    expect(await message('/api/v1/namespaces/default/nothings', {})).toBe(
      '404 NotFound the server could not find the requested resource',
    )
  })
  it('refuses what a client must mend with a reason, never a 500', async () => {
    const { call } = await testServer()
    const pods = '/api/v1/namespaces/default/pods'
    await call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } })
    await call('POST', pods, podManifest('p'))
    const bind = await call('POST', `${pods}/p/binding`, { metadata: { name: 'p' }, target: { kind: 'Node' } })
    expect(bind.json).toMatchObject({ code: 422, reason: 'Invalid', details: { causes: [{ field: 'target.name' }] } })
    expect(bind.json['message']).toMatch(/^Binding "p" is invalid: target.name: Required value/)
    const versioned = await call('POST', maps, configMap('a', {}, { resourceVersion: '1' }))
    expect(versioned.json).toMatchObject({
      code: 400,
      message: 'resourceVersion should not be set on objects to be created',
    })
    const stray = { ...configMap('a'), apiVersion: 'v1', kind: 'ConfigMap', dat: {} }
    const applied = await call('PATCH', `${maps}/a?fieldManager=me`, stray, {
      headers: { 'content-type': 'application/apply-patch+yaml' },
    })
    expect(applied.json).toMatchObject({
      code: 400,
      message: 'failed to create typed patch object (/a; /v1, Kind=ConfigMap): .dat: field not declared in schema',
    })
  })
  it('makes names, and another one where the first is taken', async () => {
    const { call } = await testServer()
    const names = new Set<string>()
    for (let i = 0; i < 5; i++) {
      const { json } = await call('POST', maps, { metadata: { generateName: 'x-' } })
      names.add(textAt(json, 'metadata', 'name'))
    }
    expect(names.size).toBe(5)
    for (const name of names) expect(name).toMatch(/^x-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
  })
  it('says what it does not know: Strict refuses, Warn warns, Ignore is silent', async () => {
    const { call } = await testServer()
    const body = { ...configMap('a'), dat: {} }
    const strict = await call('POST', `${maps}?fieldValidation=Strict`, body)
    expect(strict.json['message']).toBe(
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dat"',
    )
    const warned = await call('POST', `${maps}?dryRun=All`, body)
    expect(warned).toMatchObject({ status: 201, headers: { warning: '299 - "unknown field \\"dat\\""' } })
    const ignored = await call('POST', `${maps}?fieldValidation=Ignore&dryRun=All`, body)
    expect(ignored.headers['warning']).toBeUndefined()
    const doubled = await call('POST', `${maps}?dryRun=All`, '{"metadata":{"name":"a"},"data":{"k":"1","k":"2"}}')
    expect(doubled.headers['warning']).toBe('299 - "duplicate field \\"data.k\\""')
  })
  it('writes nothing on a dry run', async () => {
    const { call } = await testServer()
    expect((await call('POST', `${maps}?dryRun=All`, configMap('a'))).status).toBe(201)
    expect((await call('GET', `${maps}/a`)).status).toBe(404)
    expect((await call('POST', `${maps}?dryRun=Some`, configMap('a'))).status).toBe(422)
  })
})

describe('update', () => {
  it('replaces, refuses what is stale, and does not count what changes nothing', async () => {
    const { call } = await testServer()
    const { json: made } = await call('POST', maps, configMap('a', { k: '1' }))
    const { json: second } = await call('PUT', `${maps}/a`, { ...made, data: { k: '2' } })
    expect(second['data']).toEqual({ k: '2' })
    const stale = await call('PUT', `${maps}/a`, { ...made, data: { k: '3' } })
    expect(stale.json).toMatchObject({
      code: 409,
      message:
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
    })
    const same = await call('PUT', `${maps}/a`, { data: { k: '2' }, metadata: second['metadata'] })
    expect(same.json['metadata']?.['resourceVersion']).toBe(second['metadata']?.['resourceVersion'])
    const blind = await call('PUT', `${maps}/a`, configMap('a', { k: '4' }))
    expect(blind.json['metadata']?.['uid']).toBe(made['metadata']?.['uid'])
  })
  it('keeps status and spec apart, and counts generations', async () => {
    const { call } = await testServer()
    const path = '/api/v1/namespaces/default/pods'
    await call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } })
    const { json: pod } = await call('POST', path, podManifest('p'))
    expect(pod['metadata']?.['generation']).toBe(1)
    const ignored = await call('PUT', `${path}/p`, { ...pod, status: { phase: 'Failed' } })
    expect(ignored.json['status']?.['phase']).toBe('Pending')
    const status = await call('PUT', `${path}/p/status`, {
      ...ignored.json,
      spec: { ...pod['spec'], nodeName: 'x' },
      status: { ...pod['status'], phase: 'Running' },
    })
    expect(status.json).toMatchObject({ status: { phase: 'Running' }, metadata: { generation: 1 } })
    expect(status.json['spec']?.['nodeName']).toBeUndefined()
  })
})

describe('patch', () => {
  const patch = async (type: string, body: unknown, before: Record<string, string> = { a: '1', b: '2' }) => {
    const { call } = await testServer()
    await call('POST', maps, configMap('m', before))
    const headers = { 'content-type': type }
    const { json, status } = await call('PATCH', `${maps}/m`, body, { headers })
    return status === 200 ? json['data'] : `${status} ${textAt(json, 'message')}`
  }
  it.each([
    ['application/merge-patch+json', { data: { a: null, c: '3' } }, { b: '2', c: '3' }],
    ['application/strategic-merge-patch+json', { data: { a: null, c: '3' } }, { b: '2', c: '3' }],
    ['application/json-patch+json', [{ op: 'replace', path: '/data/a', value: '9' }], { a: '9', b: '2' }],
    [
      'application/json-patch+json',
      [{ op: 'test', path: '/data/a', value: 'x' }],
      '422 the server rejected our request due to an error in our request',
    ],
    ['application/merge-patch+json', { metadata: { resourceVersion: '1' } }, /^409 /],
    ['text/plain', {}, /^415 the body of the request was in an unknown format - accepted media types include/],
  ] as const)('%s %j', async (type, body, expected) => {
    const result = await patch(type, body)
    if (expected instanceof RegExp) expect(result).toMatch(expected)
    else expect(result).toEqual(expected)
  })
  it.each(['merge-patch', 'strategic-merge-patch', 'json-patch'])(
    'a %s+json that nests too deep is refused',
    async (type) => {
      let deep: unknown = 'x'
      for (let i = 0; i < 2000; i++) deep = { a: deep }
      const body = type === 'json-patch' ? [{ op: 'add', path: '/data', value: deep }] : { data: deep }
      expect(await patch(`application/${type}+json`, body)).toMatch(/^400 .*exceeded max depth$/)
    },
  )
  it('is applied again when somebody else writes in between', async () => {
    const { call } = await testServer()
    await call('POST', maps, configMap('m'))
    const headers = { 'content-type': 'application/merge-patch+json' }
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => call('PATCH', `${maps}/m`, { data: { [`k${i}`]: 'v' } }, { headers })),
    )
    expect(answers.map((a) => a.status)).toEqual(answers.map(() => 200))
    expect(Object.keys((await call('GET', `${maps}/m`)).json['data'] ?? {})).toHaveLength(20)
  })
})

describe('delete', () => {
  it('removes at once and answers a Status', async () => {
    const { call } = await testServer()
    const { json: made } = await call('POST', maps, configMap('a'))
    const gone = await call('DELETE', `${maps}/a`)
    expect(gone.json).toMatchObject({
      kind: 'Status',
      status: 'Success',
      details: { name: 'a', kind: 'configmaps', uid: made['metadata']?.['uid'] },
    })
    expect((await call('DELETE', `${maps}/a`)).status).toBe(404)
  })
  it('checks preconditions', async () => {
    const { call } = await testServer()
    await call('POST', maps, configMap('a'))
    const refused = await call('DELETE', `${maps}/a`, { preconditions: { uid: 'x' } })
    expect(refused.json['message']).toMatch(
      /^Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition \(x\) does not match/,
    )
  })
  it('waits for finalizers', async () => {
    const { call } = await testServer()
    await call('POST', maps, configMap('a', {}, { finalizers: ['x.example.com/y'] }))
    const marked = await call('DELETE', `${maps}/a`)
    expect(marked.json['metadata']).toMatchObject({
      deletionTimestamp: '2026-01-01T00:00:00Z',
      deletionGracePeriodSeconds: 0,
    })
    const added = await call(
      'PATCH',
      `${maps}/a`,
      { metadata: { finalizers: ['x.example.com/y', 'x.example.com/z'] } },
      {
        headers: { 'content-type': 'application/merge-patch+json' },
      },
    )
    expect(added.status).toBe(422)
    await call(
      'PATCH',
      `${maps}/a`,
      { metadata: { finalizers: null } },
      {
        headers: { 'content-type': 'application/merge-patch+json' },
      },
    )
    expect((await call('GET', `${maps}/a`)).status).toBe(404)
  })
  it('adds the finalizers of a propagation policy', async () => {
    const { call } = await testServer()
    for (const [policy, finalizer] of [
      ['Orphan', 'orphan'],
      ['Foreground', 'foregroundDeletion'],
    ]) {
      await call('POST', maps, configMap(`${finalizer}`.toLowerCase()))
      const { json } = await call('DELETE', `${maps}/${finalizer?.toLowerCase()}`, { propagationPolicy: policy })
      expect(json['metadata']?.['finalizers']).toEqual([finalizer])
    }
  })
  it('gives a running pod its time, and less when asked again', async () => {
    const { call, clock } = await testServer()
    const path = '/api/v1/namespaces/default/pods'
    await call('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } })
    await call('POST', path, podManifest('p', { spec: { nodeName: 'n' } }))
    const first = await call('DELETE', `${path}/p`)
    expect(first.json['metadata']).toMatchObject({
      deletionTimestamp: '2026-01-01T00:00:30Z',
      deletionGracePeriodSeconds: 30,
      generation: 2,
    })
    clock.advance(2000)
    const longer = await call('DELETE', `${path}/p`, { gracePeriodSeconds: 60 })
    expect(longer.json['metadata']?.['deletionGracePeriodSeconds']).toBe(30)
    const shorter = await call('DELETE', `${path}/p`, { gracePeriodSeconds: 5 })
    expect(shorter.json['metadata']).toMatchObject({
      deletionTimestamp: '2026-01-01T00:00:05Z',
      deletionGracePeriodSeconds: 5,
    })
    expect((await call('DELETE', `${path}/p?gracePeriodSeconds=0`)).status).toBe(200)
    expect((await call('GET', `${path}/p`)).status).toBe(404)
  })
  it('deletes a selected collection', async () => {
    const { call } = await testServer()
    for (const name of ['a', 'b', 'c']) await call('POST', maps, configMap(name, {}, { labels: { x: name } }))
    const { json } = await call('DELETE', `${maps}?labelSelector=x!%3Db`)
    expect(json['kind']).toBe('ConfigMapList')
    const left = await call('GET', maps)
    expect((left.json['items'] as unknown as { metadata: { name: string } }[]).map((o) => o.metadata.name)).toEqual([
      'b',
    ])
  })
  it('empties a namespace in two steps', async () => {
    const { call } = await testServer()
    await call('POST', '/api/v1/namespaces', { metadata: { name: 'n' } })
    const { json } = await call('DELETE', '/api/v1/namespaces/n')
    expect(json['status']?.['phase']).toBe('Terminating')
    const refused = await call('POST', '/api/v1/namespaces/n/configmaps', configMap('a'))
    expect(refused.json['message']).toBe(
      'configmaps "a" is forbidden: unable to create new content in namespace n because it is being terminated',
    )
    const done = await call('PUT', '/api/v1/namespaces/n/finalize', { ...json, spec: {} })
    expect(done.status).toBe(200)
    expect((await call('GET', '/api/v1/namespaces/n')).status).toBe(404)
  })
})

describe('list', () => {
  it('pages over one moment while others write', async () => {
    const { call } = await testServer()
    for (let i = 0; i < 7; i++) await call('POST', maps, configMap(`m${i}`))
    const names = (json: { items?: unknown }) =>
      (json.items as { metadata: { name: string } }[]).map((o) => o.metadata.name)
    const first = await call('GET', `${maps}?limit=3`)
    expect(first.json['metadata']).toMatchObject({ remainingItemCount: 4 })
    await call('DELETE', `${maps}/m4`)
    await call('POST', maps, configMap('m3b'))
    const token = textAt(first.json, 'metadata', 'continue')
    const second = await call('GET', `${maps}?limit=3&continue=${token}`)
    const third = await call('GET', `${maps}?limit=3&continue=${textAt(second.json, 'metadata', 'continue')}`)
    expect([...names(first.json), ...names(second.json), ...names(third.json)]).toEqual([
      'm0',
      'm1',
      'm2',
      'm3',
      'm4',
      'm5',
      'm6',
    ])
    expect(second.json['metadata']?.['resourceVersion']).toBe(first.json['metadata']?.['resourceVersion'])
    expect(third.json['metadata']?.['continue']).toBeUndefined()
  })
  it('says Expired with a token that goes on when the moment is forgotten', async () => {
    const { call, store } = await testServer()
    for (let i = 0; i < 4; i++) await call('POST', maps, configMap(`m${i}`))
    const first = await call('GET', `${maps}?limit=2`)
    await call('POST', maps, configMap('m9'))
    await store.compact(store.currentRevision())
    const gone = await call('GET', `${maps}?limit=2&continue=${textAt(first.json, 'metadata', 'continue')}`)
    expect(gone.json).toMatchObject({ code: 410, reason: 'Expired' })
    const rest = await call('GET', `${maps}?continue=${textAt(gone.json, 'metadata', 'continue')}`)
    expect((rest.json['items'] as unknown as unknown[]).length).toBe(3)
  })
  it('says Expired to whoever takes too long over a list', async () => {
    const { call, clock } = await testServer()
    for (let i = 0; i < 4; i++) await call('POST', maps, configMap(`m${i}`))
    const first = await call('GET', `${maps}?limit=2`)
    clock.advance(400_000)
    const late = await call('GET', `${maps}?limit=2&continue=${textAt(first.json, 'metadata', 'continue')}`)
    expect(late.json).toMatchObject({ code: 410, reason: 'Expired' })
  })
  it('reads a past revision exactly', async () => {
    const { call } = await testServer()
    const { json } = await call('POST', maps, configMap('a', { k: '1' }))
    const revision = textAt(json, 'metadata', 'resourceVersion')
    await call('PUT', `${maps}/a`, configMap('a', { k: '2' }))
    const past = await call('GET', `${maps}?resourceVersion=${revision}&resourceVersionMatch=Exact`)
    expect(past.json['items']?.[0 as unknown as string]?.['data']).toEqual({ k: '1' })
    const bad = await call('GET', `${maps}?resourceVersionMatch=Exact`)
    expect(bad.json['message']).toMatch(/resourceVersionMatch is forbidden unless resourceVersion is provided/)
  })
  it('refuses selectors that mean nothing', async () => {
    const { call } = await testServer()
    expect((await call('GET', `${maps}?labelSelector=a%3D%3D%3D`)).status).toBe(400)
    const field = await call('GET', `${maps}?fieldSelector=spec.x%3D1`)
    expect(field.json['message']).toMatch(/not a known field selector|field label not supported/)
  })
})

describe('watch', () => {
  it('shows what is there, then what happens, to each by what they ask', async () => {
    const { call } = await testServer()
    await call('POST', maps, configMap('a', {}, { labels: { x: '1' } }))
    const all = new WatchReader((await call('GET', `${maps}?watch=1`)).response)
    const some = new WatchReader((await call('GET', `${maps}?watch=1&labelSelector=x%3D1`)).response)
    const named = new WatchReader((await call('GET', `${maps}?watch=1&fieldSelector=metadata.name%3Db`)).response)
    await call('POST', maps, configMap('b', {}, { labels: { x: '2' } }))
    await call('PUT', `${maps}/a`, configMap('a', {}, { labels: { x: '3' } }))
    await call('PUT', `${maps}/b`, configMap('b', {}, { labels: { x: '1' } }))
    await call('DELETE', `${maps}/b`)
    await all.until(5)
    await some.until(4)
    await named.until(3)
    expect(all.types).toEqual(['ADDED a', 'ADDED b', 'MODIFIED a', 'MODIFIED b', 'DELETED b'])
    expect(some.types).toEqual(['ADDED a', 'DELETED a', 'ADDED b', 'DELETED b'])
    expect(named.types).toEqual(['ADDED b', 'MODIFIED b', 'DELETED b'])
    const versions = all.events.map((e) => Number(e.object['metadata']?.['resourceVersion']))
    expect(versions).toEqual([...versions].sort((a, b) => a - b))
    expect(new Set(versions).size).toBe(versions.length)
    expect(some.events[1]?.object['metadata']?.['labels']).toEqual({ x: '1' })
  })
  it('goes on from a revision, near or far', async () => {
    const { call } = await testServer()
    const { json } = await call('POST', maps, configMap('a'))
    const from = textAt(json, 'metadata', 'resourceVersion')
    for (let i = 0; i < 2200; i++) await call('PUT', `${maps}/a`, configMap('a', { i: String(i) }))
    const far = new WatchReader((await call('GET', `${maps}?watch=1&resourceVersion=${from}`)).response)
    await call('DELETE', `${maps}/a`)
    await far.until(2201)
    expect(far.events.length).toBe(2201)
    expect(far.events.map((e) => e.type)).toEqual([...Array.from({ length: 2200 }, () => 'MODIFIED'), 'DELETED'])
  })
  it('says Expired when the past is forgotten', async () => {
    const { call, store } = await testServer()
    const { json } = await call('POST', maps, configMap('a'))
    for (let i = 0; i < 2200; i++) await call('PUT', `${maps}/a`, configMap('a', { i: String(i) }))
    await store.compact(store.currentRevision())
    const gone = await call('GET', `${maps}?watch=1&resourceVersion=${textAt(json, 'metadata', 'resourceVersion')}`)
    expect(gone.json).toMatchObject({
      code: 410,
      reason: 'Expired',
      message: expect.stringMatching(/^too old resource version/),
    })
  })
  it('streams the initial state and marks its end', async () => {
    const { call } = await testServer()
    await call('POST', maps, configMap('a'))
    const query = 'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
    const reader = new WatchReader((await call('GET', `${maps}?${query}`)).response)
    await reader.until(2)
    expect(reader.types).toEqual(['ADDED a', 'BOOKMARK '])
    expect(reader.events[1]?.object['metadata']?.['annotations']).toEqual({ 'k8s.io/initial-events-end': 'true' })
  })
  it('ends after its time and beats while it lasts', async () => {
    const { call, clock } = await testServer()
    const reader = new WatchReader(
      (await call('GET', `${maps}?watch=1&timeoutSeconds=130&allowWatchBookmarks=true`)).response,
    )
    clock.advance(125_000)
    expect(reader.events.map((e) => e.type)).toEqual(['BOOKMARK', 'BOOKMARK'])
    expect(reader.ended).toBe(false)
    clock.advance(10_000)
    expect(reader.ended).toBe(true)
  })
  it('cuts off a receiver that does not keep up', async () => {
    const { call } = await testServer()
    const { response } = await call('GET', `${maps}?watch=1`)
    if (response.kind !== 'stream') throw new Error('no stream')
    let ended = false
    response.open({ write: () => false, end: () => void (ended = true) })
    const payload = 'x'.repeat(700_000)
    for (let i = 0; i < 40 && !ended; i++) await call('POST', maps, configMap(`m${i}`, { payload }))
    expect(ended).toBe(true)
  })
  it('hands the same frozen object to everybody in the process', async () => {
    const { transport, call } = await testServer()
    const read = async () => {
      const response = await transport.send({ method: 'GET', path: `${maps}?watch=1` })
      if (response.stream?.kind !== 'objects') throw new Error('no objects')
      for await (const event of response.stream.objects) return (event as { object: object }).object
      return undefined
    }
    const both = Promise.all([read(), read()])
    await call('POST', maps, configMap('a'))
    const [one, two] = await both
    expect(one).toBe(two)
    expect(Object.isFrozen(one)).toBe(true)
    expect(await send(transport, { method: 'GET', path: `${maps}/a` })).toBe(one)
  })
})

describe('forms', () => {
  it('prints tables and metadata', async () => {
    const { call } = await testServer()
    await call('POST', maps, configMap('a', { k: 'v' }))
    const table = await call('GET', maps, undefined, {
      headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' },
    })
    expect(table.json).toMatchObject({
      kind: 'Table',
      rows: [{ cells: ['a', 1, '0s'], object: { kind: 'PartialObjectMetadata' } }],
    })
    const partial = await call('GET', maps, undefined, {
      headers: { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' },
    })
    expect(partial.json).toMatchObject({ kind: 'PartialObjectMetadataList', items: [{ metadata: { name: 'a' } }] })
    const yaml = await call('GET', `${maps}/a`, undefined, { headers: { accept: 'application/yaml' } })
    expect(yaml.text).toContain('kind: ConfigMap\n')
    expect((await call('GET', maps, undefined, { headers: { accept: 'text/html' } })).status).toBe(406)
  })
  it('serves an old version of a kind, both ways', async () => {
    const { call } = await testServer()
    const base = '/apis/apps/v1beta1/namespaces/default/deployments'
    const labels = { app: 'x' }
    const made = await call('POST', base, {
      apiVersion: 'apps/v1beta1',
      kind: 'Deployment',
      metadata: { name: 'd' },
      spec: { template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } } },
    })
    expect(made).toMatchObject({ status: 201, json: { apiVersion: 'apps/v1beta1' } })
    const now = await call('GET', '/apis/apps/v1/namespaces/default/deployments/d')
    expect(now.json).toMatchObject({ apiVersion: 'apps/v1', spec: { selector: { matchLabels: labels } } })
  })
})

describe('apply', () => {
  const headers = { 'content-type': 'application/apply-patch+yaml' }
  const applyMap = (call: Awaited<ReturnType<typeof testServer>>['call'], manager: string, data: object, more = '') =>
    call('PATCH', `${maps}/a?fieldManager=${manager}${more}`, { ...configMap('a'), data }, { headers })
  it('creates, takes away what is no longer said, and asks before it takes from others', async () => {
    const { call } = await testServer()
    expect((await applyMap(call, 'one', { k: '1', l: '1' })).status).toBe(201)
    expect((await applyMap(call, 'one', { k: '2' })).json['data']).toEqual({ k: '2' })
    const refused = await applyMap(call, 'two', { k: '3' })
    expect(refused.json).toMatchObject({
      code: 409,
      message: 'Apply failed with 1 conflict: conflict with "one": .data.k',
    })
    const forced = await applyMap(call, 'two', { k: '3' }, '&force=true')
    expect(forced.json['data']).toEqual({ k: '3' })
    const managers = forced.json['metadata']?.['managedFields'] as unknown as { manager: string; operation: string }[]
    expect(managers.map((m) => `${m.operation} ${m.manager}`)).toEqual(['Apply two'])
  })
  it('knows who updated without applying', async () => {
    const { call } = await testServer()
    await call('POST', `${maps}?fieldManager=maker`, configMap('a', { k: '1' }))
    const refused = await applyMap(call, 'one', { k: '2' })
    expect(refused.json['message']).toBe('Apply failed with 1 conflict: conflict with "maker" using v1: .data.k')
    expect((await call('PATCH', `${maps}/a`, configMap('a'), { headers })).status).toBe(422)
  })
})

it('counts what it answers', async () => {
  const { call } = await testServer()
  await call('GET', maps)
  await call('GET', `${maps}/x`)
  const { text } = await call('GET', '/metrics')
  const labels =
    'component="apiserver",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"'
  expect(text).toContain(`apiserver_request_total{code="200",${labels}} 1\n`)
  expect(text).toContain(`apiserver_request_duration_seconds_count{${labels}} 1\n`)
  expect(text).toMatch(/apiserver_request_total\{code="404",.*verb="GET"/)
})

describe('resourceVersion 0', () => {
  it('updates whatever is there, where a kind allows that', async () => {
    const { call } = await testServer()
    const path = '/api/v1/namespaces/default/configmaps'
    await call('POST', path, configMap('a'))
    const free = await call('PUT', `${path}/a`, configMap('a', { b: 'c' }, { resourceVersion: '0' }))
    expect([free.status, free.json['data']]).toEqual([200, { b: 'c' }])
    const lease = '/apis/coordination.k8s.io/v1/namespaces/default/leases'
    await call('POST', lease, { metadata: { name: 'l' }, spec: {} })
    const strict = await call('PUT', `${lease}/l`, { metadata: { name: 'l', resourceVersion: '0' }, spec: {} })
    expect(strict.status).toBe(422)
    expect(strict.json['message']).toMatch(
      /metadata.resourceVersion: Invalid value: 0: must be specified for an update/,
    )
  })
})

describe('an update without a version', () => {
  it('is tried again when somebody else writes in between', async () => {
    const { call } = await testServer()
    const path = '/api/v1/namespaces/default/configmaps'
    await call('POST', path, configMap('a'))
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) => call('PUT', `${path}/a`, configMap('a', { n: `${i}` }))),
    )
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200))
  })
})
