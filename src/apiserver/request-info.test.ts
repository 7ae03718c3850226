import { expect, it } from 'vitest'
import type { ApiRequest } from './request.ts'
import { resolveRequestInfo } from './request-info.ts'

const info = (method: ApiRequest['method'], path: string) => {
  const { verb, group, version, namespace, resource, subresource, name, rest, isResource } = resolveRequestInfo({
    method,
    path,
    headers: {},
  })
  if (!isResource) return `${verb} path`
  return [verb, `${group}/${version}`, `ns=${namespace}`, resource, name, subresource, rest].join(' ').trimEnd()
}

it.each([
  ['GET', '/api/v1/pods', 'list /v1 ns= pods'],
  ['GET', '/api/v1/namespaces', 'list /v1 ns= namespaces'],
  ['GET', '/api/v1/namespaces/a', 'get /v1 ns=a namespaces a'],
  ['PUT', '/api/v1/namespaces/a/finalize', 'update /v1 ns=a namespaces a finalize'],
  ['PATCH', '/api/v1/namespaces/a/status', 'patch /v1 ns=a namespaces a status'],
  ['GET', '/api/v1/namespaces/a/pods', 'list /v1 ns=a pods'],
  ['GET', '/api/v1/namespaces/a/pods?watch=true', 'watch /v1 ns=a pods'],
  ['GET', '/api/v1/namespaces/a/pods?watch=0', 'list /v1 ns=a pods'],
  ['GET', '/api/v1/watch/namespaces/a/pods', 'watch /v1 ns=a pods'],
  ['GET', '/api/v1/watch/namespaces/a/pods/p', 'watch /v1 ns=a pods p'],
  ['DELETE', '/api/v1/namespaces/a/pods', 'deletecollection /v1 ns=a pods'],
  ['DELETE', '/api/v1/namespaces/a/pods/p', 'delete /v1 ns=a pods p'],
  ['POST', '/api/v1/namespaces/a/pods/p/exec?command=ls', 'create /v1 ns=a pods p exec'],
  ['GET', '/api/v1/namespaces/a/services/s/proxy/x/y', 'get /v1 ns=a services s proxy /x/y'],
  ['GET', '/apis/apps/v1/namespaces/a/deployments/d/scale', 'get apps/v1 ns=a deployments d scale'],
  ['GET', '/apis/apps/v1', 'get path'],
  ['GET', '/apis/apps/v1/', 'get path'],
  ['GET', '/api/v1', 'get path'],
  ['GET', '/healthz', 'get path'],
  ['GET', '/api/v1/nodes/a%3Ab', 'get /v1 ns= nodes a:b'],
  ['GET', '/api/v1/pods?fieldSelector=metadata.name%3Dx', 'list /v1 ns= pods x'],
  ['GET', '/api/v1/pods?fieldSelector=metadata.name!%3Dx', 'list /v1 ns= pods'],
] as const)('%s %s', (method, path, expected) => {
  expect(info(method, path)).toBe(expected)
})

it('refuses a malformed escape', () => {
  expect(() => resolveRequestInfo({ method: 'GET', path: '/api/v1/pods/%zz', headers: {} })).toThrow(
    'invalid URL escape',
  )
})
