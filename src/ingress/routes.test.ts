import { describe, expect, it } from 'vitest'
import type { Ingress, IngressSpec } from '../api/networking/ingress.ts'
import { certificateOf, hostOf, normalizePath, planRoutes, route } from './routes.ts'

let made = 0
const ingress = (spec: object): Ingress =>
  ({
    metadata: {
      name: `i${++made}`,
      namespace: 'default',
      creationTimestamp: `2026-01-01T00:00:${String(made % 60).padStart(2, '0')}Z`,
    },
    spec: spec as IngressSpec,
  }) as unknown as Ingress
const service = (name: string, port: number | string = 80) => ({
  service: { name, port: typeof port === 'number' ? { number: port } : { name: port } },
})
const path = (text: string, pathType: string, name: string) => ({ path: text, pathType, backend: service(name) })
const rule = (host: string | undefined, ...paths: object[]) => ({ ...(host ? { host } : {}), http: { paths } })

const asks = (table: ReturnType<typeof planRoutes>, host: string, target: string) => {
  const found = route(table, host, target)
  return found.found ? found.backend.service : found.why
}

// https://kubernetes.io/docs/concepts/services-networking/ingress/#examples
describe.each([
  ['Prefix', '/', '/any/thing', true],
  ['Exact', '/foo', '/foo', true],
  ['Exact', '/foo', '/bar', false],
  ['Exact', '/foo', '/foo/', false],
  ['Exact', '/foo/', '/foo', false],
  ['Prefix', '/foo', '/foo', true],
  ['Prefix', '/foo', '/foo/', true],
  ['Prefix', '/foo/', '/foo', true],
  ['Prefix', '/foo/', '/foo/', true],
  ['Prefix', '/aaa/bb', '/aaa/bbb', false],
  ['Prefix', '/aaa/bbb', '/aaa/bbb', true],
  ['Prefix', '/aaa/bbb/', '/aaa/bbb', true],
  ['Prefix', '/aaa/bbb', '/aaa/bbb/', true],
  ['Prefix', '/aaa/bbb', '/aaa/bbb/ccc', true],
  ['Prefix', '/aaa/bbb', '/aaa/bbbxyz', false],
  ['Prefix', '/foo', '/FOO', false],
  ['ImplementationSpecific', '', '/x', true],
  ['Prefix', '/foo', '/foo?x=/bar', true],
  ['Prefix', '/admin', '/public/%2e%2e/admin', true],
  ['Prefix', '/admin', '/%61dmin/x', true],
  ['Prefix', '/admin', '/x//../admin', true],
])('%s %s', (pathType, text, asked, matches) => {
  it(`${matches ? 'takes' : 'leaves'} ${asked}`, () => {
    const table = planRoutes([ingress({ rules: [rule(undefined, path(text, pathType, 'web'))] })])
    expect(asks(table, 'a.example', asked)).toBe(matches ? 'web' : 'no rule')
  })
})

describe('which rule', () => {
  it('the longest path, Exact before Prefix', () => {
    const table = planRoutes([
      ingress({
        rules: [
          rule(
            'a.example',
            path('/', 'Prefix', 'root'),
            path('/aaa', 'Prefix', 'prefix'),
            path('/aaa/bbb', 'Prefix', 'longer'),
            path('/aaa', 'Exact', 'exact'),
          ),
        ],
      }),
    ])
    expect(['/', '/aaa', '/aaa/', '/aaa/bbb/c', '/x'].map((p) => asks(table, 'a.example:8080', p))).toEqual([
      'root',
      'exact',
      'prefix',
      'longer',
      'root',
    ])
  })
  it('the most precise host; a wildcard stands for one label', () => {
    const table = planRoutes([
      ingress({ rules: [rule('*.foo.com', path('/', 'Prefix', 'wild'))] }),
      ingress({ rules: [rule('bar.foo.com', path('/only', 'Prefix', 'exact'))] }),
      ingress({ rules: [rule(undefined, path('/', 'Prefix', 'all'))] }),
    ])
    expect(asks(table, 'x.foo.com', '/')).toBe('wild')
    expect(asks(table, 'X.Foo.Com.', '/')).toBe('wild')
    expect(asks(table, 'bar.foo.com', '/only')).toBe('exact')
    expect(asks(table, 'bar.foo.com', '/other')).toBe('no rule')
    expect(asks(table, 'a.b.foo.com', '/')).toBe('all')
    expect(asks(table, 'foo.com', '/')).toBe('all')
    expect(asks(table, '', '/')).toBe('all')
  })
  it('default backends: of the Ingress with the host, else the oldest', () => {
    const table = planRoutes([
      ingress({ rules: [rule('a.example', path('/x', 'Prefix', 'a'))], defaultBackend: service('a-default') }),
      ingress({ rules: [rule('b.example', path('/x', 'Prefix', 'b'))] }),
      ingress({ defaultBackend: service('second') }),
      ingress({ rules: [{ host: 'c.example' }], defaultBackend: service('c-default', 'http') }),
    ])
    expect(asks(table, 'a.example', '/y')).toBe('a-default')
    expect(asks(table, 'b.example', '/y')).toBe('a-default')
    expect(asks(table, 'unknown', '/')).toBe('a-default')
    expect(route(table, 'c.example', '/z')).toEqual({
      found: true,
      backend: { namespace: 'default', service: 'c-default', port: 'http' },
    })
  })
  it('the older Ingress wins, and a resource backend is none', () => {
    const resource = { path: '/r', pathType: 'Prefix', backend: { resource: { kind: 'Bucket', name: 'x' } } }
    const table = planRoutes([
      ingress({ rules: [rule('a', path('/', 'Prefix', 'older'), resource)] }),
      ingress({ rules: [rule('a', path('/', 'Prefix', 'newer'))] }),
    ])
    expect(asks(table, 'a', '/')).toBe('older')
    expect(asks(table, 'a', '/r')).toBe('no backend')
  })
})

it('certificates by name, by wildcard, for all', () => {
  const table = planRoutes([
    ingress({
      tls: [{ hosts: ['a.example', '*.b.example'], secretName: 'one' }, { secretName: 'all' }, { hosts: ['x'] }],
    }),
  ])
  const secret = (name: string | undefined) => certificateOf(table, name)?.secret
  expect(['A.example', 'x.b.example', 'y.x.b.example', undefined].map(secret)).toEqual(['one', 'one', 'all', 'all'])
  expect(certificateOf(planRoutes([]), 'a.example')).toBeUndefined()
})

it('reads hosts and paths', () => {
  expect(['A.b:80', '[fd00::1]:443', 'a.', ''].map(hostOf)).toEqual(['a.b', 'fd00::1', 'a', ''])
  expect(['/a/./b/../c/', '/..', '/a/..', '/a%2Fb', '/%zz', '/a//b', '/%E4'].map(normalizePath)).toEqual([
    '/a/c/',
    '/',
    '/',
    '/a%2fb',
    '/%zz',
    '/a/b',
    '/%E4',
  ])
})
