import { describe, expect, it } from 'vitest'
import { parseResolvConf, podDns } from './dns-config.ts'
import { makePod } from './testing/pods.ts'

const settings = {
  clusterDns: ['10.96.0.10'],
  clusterDomain: 'cluster.local',
  node: parseResolvConf(
    '# made by hand\nnameserver 192.168.0.1\nnameserver 8.8.8.8\nsearch corp.example. lab\noptions edns0 timeout:2\n',
  ),
}
const cluster = ['ns.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example', 'lab']

describe('podDns', () => {
  it.each([
    ['ClusterFirst', {}, ['10.96.0.10'], cluster, ['ndots:5']],
    ['Default', {}, ['192.168.0.1', '8.8.8.8'], ['corp.example', 'lab'], ['edns0', 'timeout:2']],
    [
      'ClusterFirst',
      { hostNetwork: true },
      ['192.168.0.1', '8.8.8.8'],
      ['corp.example', 'lab'],
      ['edns0', 'timeout:2'],
    ],
    ['ClusterFirstWithHostNet', { hostNetwork: true }, ['10.96.0.10'], cluster, ['ndots:5']],
    [
      'None',
      {
        dnsConfig: {
          nameservers: ['1.2.3.4'],
          searches: ['a.b'],
          options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
        },
      },
      ['1.2.3.4'],
      ['a.b'],
      ['ndots:2', 'edns0'],
    ],
    [
      'ClusterFirst',
      { dnsConfig: { nameservers: ['1.2.3.4'], searches: ['a.b'], options: [{ name: 'ndots', value: '2' }] } },
      ['10.96.0.10', '1.2.3.4'],
      [...cluster, 'a.b'],
      ['ndots:2'],
    ],
  ])('%s with %j', (dnsPolicy, spec, servers, searches, options) => {
    const dns = podDns(makePod({ spec: { dnsPolicy, ...spec } }), settings)
    expect(dns).toEqual({ servers, searches, options, warnings: [] })
  })
  it('cuts what Linux does not take, and says so', () => {
    const dnsConfig = {
      nameservers: ['1.1.1.1', '2.2.2.2', '3.3.3.3'],
      searches: Array.from({ length: 40 }, (_, i) => `s${i}`),
    }
    const dns = podDns(
      makePod({
        spec: { dnsPolicy: 'None', dnsConfig: { ...dnsConfig, nameservers: [...dnsConfig.nameservers, '4.4.4.4'] } },
      }),
      settings,
    )
    expect(dns.servers).toHaveLength(3)
    expect(dns.searches).toHaveLength(32)
    expect(dns.warnings.map((w) => w.reason)).toEqual(['DNSConfigForming', 'DNSConfigForming'])
    expect(dns.warnings[0]?.message).toBe(
      'Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3',
    )
  })
})
