import { describe, expect, it } from 'vitest'
import { type EnvSources, makeEnvironment, serviceEnvironment, visibleServices } from './env.ts'
import { makePod } from './testing/pods.ts'
import type { Container } from './types.ts'

const web = {
  name: 'my-web',
  namespace: 'ns',
  clusterIP: '10.96.0.5',
  ports: [
    { name: 'http', port: 80, protocol: 'TCP' },
    { name: 'dns', port: 53, protocol: 'UDP' },
  ],
}
const api = {
  name: 'kubernetes',
  namespace: 'default',
  clusterIP: '10.96.0.1',
  ports: [{ name: 'https', port: 443, protocol: 'TCP' }],
}
const sources: EnvSources = {
  configMap: (name) => (name === 'cm' ? { data: { a: '1', 'b.c': '2', 'bad=key': '3' } } : undefined),
  secret: (name) => (name === 's' ? { data: { password: 'hush' } } : undefined),
  services: [],
  field: (path) => (path === 'metadata.name' ? 'p' : undefined),
  resourceField: ({ resource }) => (resource === 'limits.cpu' ? '2' : undefined),
  file: (volume) => (volume === 'v' ? "# comment\nA='quoted'\nB=plain\n" : undefined),
}
const envOf = (
  container: Record<string, unknown>,
  more: Partial<EnvSources> = {},
  spec: Record<string, unknown> = {},
) => {
  const pod = makePod({ spec: { ...spec, containers: [{ name: 'c', image: 'x', ...container }] } })
  return makeEnvironment(pod, pod.spec.containers[0] as Container, { ...sources, ...more })
}
const values = (result: ReturnType<typeof envOf>) => {
  if (!result.ok) throw new Error(result.message)
  return Object.fromEntries(result.entries.map(({ key, value }) => [key, value]))
}

describe('makeEnvironment', () => {
  it('expands what was set before, and leaves what nobody knows', () => {
    const env = [
      { name: 'A', value: 'x' },
      { name: 'B', value: '$(A)-$(C)-$$(A)' },
      { name: 'C', value: '$(B)' },
    ]
    expect(values(envOf({ env }))).toEqual({ A: 'x', B: 'x-$(C)-$(A)', C: 'x-$(C)-$(A)' })
  })
  it('takes every kind of source', () => {
    const env = [
      { name: 'CM', valueFrom: { configMapKeyRef: { name: 'cm', key: 'a' } } },
      { name: 'S', valueFrom: { secretKeyRef: { name: 's', key: 'password' } } },
      { name: 'F', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'R', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
      { name: 'FILE', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'f', key: 'A' } } },
      { name: 'NONE', valueFrom: { configMapKeyRef: { name: 'no', key: 'a', optional: true } } },
      { name: 'EMPTY' },
    ]
    expect(values(envOf({ env }))).toEqual({ CM: '1', S: 'hush', F: 'p', R: '2', FILE: 'quoted', EMPTY: '' })
  })
  it('puts envFrom under env and tells which keys cannot be names', () => {
    const result = envOf({
      envFrom: [{ prefix: 'P_', configMapRef: { name: 'cm' } }],
      env: [{ name: 'P_a', value: 'own' }],
    })
    expect(values(result)).toEqual({ P_a: 'own', 'P_b.c': '2' })
    expect(result).toMatchObject({ skipped: [{ source: 'configMap ns/cm', keys: ['bad=key'] }] })
  })
  it.each([
    [{ envFrom: [{ configMapRef: { name: 'no' } }] }, 'configmap "no" not found'],
    [{ envFrom: [{ secretRef: { name: 'no' } }] }, 'secret "no" not found'],
    [{ env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'no', key: 'a' } } }] }, 'configmap "no" not found'],
    [
      { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'cm', key: 'z' } } }] },
      "couldn't find key z in ConfigMap ns/cm",
    ],
    [
      { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 's', key: 'z' } } }] },
      "couldn't find key z in Secret ns/s",
    ],
  ])('refuses %j', (container, message) => {
    expect(envOf(container)).toEqual({ ok: false, message })
  })
  it('lets the pod override a service variable', () => {
    const result = values(envOf({ env: [{ name: 'MY_WEB_SERVICE_HOST', value: 'own' }] }, { services: [web] }))
    expect(result['MY_WEB_SERVICE_HOST']).toBe('own')
    expect(result['MY_WEB_SERVICE_PORT']).toBe('80')
  })
})

describe('service variables', () => {
  it('has the names of services and of docker links', () => {
    expect(Object.fromEntries(serviceEnvironment([web]))).toEqual({
      MY_WEB_SERVICE_HOST: '10.96.0.5',
      MY_WEB_SERVICE_PORT: '80',
      MY_WEB_SERVICE_PORT_HTTP: '80',
      MY_WEB_SERVICE_PORT_DNS: '53',
      MY_WEB_PORT: 'tcp://10.96.0.5:80',
      MY_WEB_PORT_80_TCP: 'tcp://10.96.0.5:80',
      MY_WEB_PORT_80_TCP_PROTO: 'tcp',
      MY_WEB_PORT_80_TCP_PORT: '80',
      MY_WEB_PORT_80_TCP_ADDR: '10.96.0.5',
      MY_WEB_PORT_53_UDP: 'udp://10.96.0.5:53',
      MY_WEB_PORT_53_UDP_PROTO: 'udp',
      MY_WEB_PORT_53_UDP_PORT: '53',
      MY_WEB_PORT_53_UDP_ADDR: '10.96.0.5',
    })
  })
  it('shows the API always, the rest of the namespace unless declined, and nothing headless', () => {
    const other = { ...web, namespace: 'other' }
    const headless = { ...web, name: 'h', clusterIP: 'None' }
    const names = (spec: Record<string, unknown>) =>
      visibleServices(makePod({ spec }), [web, api, other, headless]).map((s) => s.name)
    expect(names({})).toEqual(['kubernetes', 'my-web'])
    expect(names({ enableServiceLinks: false })).toEqual(['kubernetes'])
  })
})
