import { describe, expect, it } from 'vitest'
import type { Service } from '../api/core/service.ts'
import type { EndpointSlice } from '../api/discovery/endpoint-slice.ts'
import { lookup, reverse, type ZoneSource } from './zone.ts'

const service = (name: string, spec: object): Service =>
  ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec,
    status: { loadBalancer: {} },
  }) as unknown as Service
const web = service('web', {
  clusterIP: '10.77.0.10',
  clusterIPs: ['10.77.0.10', 'fd00::10'],
  ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
})
const db = service('db', { clusterIP: 'None', ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }] })
const gone = service('gone', { clusterIP: 'None', ports: [] })
const outside = service('outside', { type: 'ExternalName', externalName: 'example.com' })
const slice = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'db-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'db' } },
  addressType: 'IPv4',
  ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }],
  endpoints: [
    { addresses: ['10.66.0.2'], hostname: 'db-0', conditions: { ready: true } },
    { addresses: ['10.66.0.3'], conditions: { ready: true } },
    { addresses: ['10.66.0.4'], hostname: 'db-2', conditions: { ready: false } },
  ],
} as unknown as EndpointSlice
const services = [web, db, gone, outside]
const source: ZoneSource = {
  service: (namespace, name) => services.find((s) => s.metadata.name === name && namespace === 'default'),
  hasNamespace: (name) => name === 'default',
  slices: (_namespace, name) => (name === 'db' ? [slice] : []),
  serviceByIp: (ip) => services.find((s) => s.spec.clusterIPs?.includes(ip) === true),
  slicesByIp: (ip) => (ip.startsWith('10.66.0.') ? [slice] : []),
}
const ask = (name: string, type: string) => lookup(source, name, type, 'cluster.local')
const data = (name: string, type: string): unknown => {
  const answer = ask(name, type)
  if (answer === undefined) return 'outside'
  return answer.found ? answer.records.map((r) => r.data) : 'NXDOMAIN'
}

describe('cluster names', () => {
  it.each([
    ['web.default.svc.cluster.local', 'A', ['10.77.0.10']],
    ['web.default.svc.cluster.local', 'AAAA', ['fd00::10']],
    ['web.default.svc.cluster.local', 'MX', []],
    ['db.default.svc.cluster.local', 'A', ['10.66.0.2', '10.66.0.3']],
    ['db-0.db.default.svc.cluster.local', 'A', ['10.66.0.2']],
    ['10-66-0-3.db.default.svc.cluster.local', 'A', ['10.66.0.3']],
    ['db-2.db.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['db-0.web.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['gone.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['nobody.default.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['web.elsewhere.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['default.svc.cluster.local', 'A', []],
    ['elsewhere.svc.cluster.local', 'A', 'NXDOMAIN'],
    ['svc.cluster.local', 'A', []],
    ['outside.default.svc.cluster.local', 'A', ['example.com']],
    ['1-2-3-4.default.pod.cluster.local', 'A', ['1.2.3.4']],
    ['1-2-3-400.default.pod.cluster.local', 'A', 'NXDOMAIN'],
    ['1-2-3-4.elsewhere.pod.cluster.local', 'A', 'NXDOMAIN'],
    ['dns-version.cluster.local', 'TXT', ['1.1.0']],
    ['example.com', 'A', 'outside'],
    [
      '_http._tcp.web.default.svc.cluster.local',
      'SRV',
      [{ priority: 0, weight: 100, port: 80, target: 'web.default.svc.cluster.local' }],
    ],
    ['_http._udp.web.default.svc.cluster.local', 'SRV', 'NXDOMAIN'],
    [
      '_sql._tcp.db.default.svc.cluster.local',
      'SRV',
      [
        { priority: 0, weight: 100, port: 5432, target: 'db-0.db.default.svc.cluster.local' },
        { priority: 0, weight: 100, port: 5432, target: '10-66-0-3.db.default.svc.cluster.local' },
      ],
    ],
  ])('%s %s', (name, type, wanted) => {
    expect(data(name, type)).toEqual(wanted)
  })
  it.each([
    ['10.0.77.10.in-addr.arpa', 'web.default.svc.cluster.local'],
    ['2.0.66.10.in-addr.arpa', 'db-0.db.default.svc.cluster.local'],
    ['3.0.66.10.in-addr.arpa', '10-66-0-3.db.default.svc.cluster.local'],
    ['1.1.1.1.in-addr.arpa', undefined],
  ])('reverse %s', (name, wanted) => {
    const answer = reverse(source, name, 'cluster.local')
    expect(answer?.found === true ? answer.records[0]?.data : undefined).toBe(wanted)
  })
})
