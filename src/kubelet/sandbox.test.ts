import { describe, expect, it } from 'vitest'
import { hostNetworkHostsFile, podHostname, podHostsFile } from './hosts-file.ts'
import { bandwidthComplaint, portMappings, sandboxHostname } from './sandbox.ts'
import { makePod } from './testing/pods.ts'

const domain = 'cluster.local'
describe('the hostname', () => {
  it.each([
    [{}, 'p', ''],
    [{ hostname: 'h' }, 'h', ''],
    [{ hostname: 'h', subdomain: 's' }, 'h', 's.ns.svc.cluster.local'],
    [{ hostnameOverride: 'o', subdomain: 's' }, 'o', ''],
  ])('%j', (spec, hostname, tail) => expect(podHostname(makePod({ spec }), domain)).toEqual({ hostname, domain: tail }))
  it('is cut to 63 characters without a dangling dash', () => {
    const name = `${'a'.repeat(62)}-b`
    expect(podHostname(makePod({ name }), domain).hostname).toBe('a'.repeat(62))
  })
  it('is the whole name where asked, if the kernel takes it', () => {
    const spec = { subdomain: 's', setHostnameAsFQDN: true }
    expect(sandboxHostname(makePod({ spec }), domain)).toEqual({ ok: true, hostname: 'p.s.ns.svc.cluster.local' })
    const long = sandboxHostname(makePod({ spec: { ...spec, hostname: 'h'.repeat(60) } }), domain)
    expect(long).toMatchObject({ ok: false, message: expect.stringContaining('is too long (64 characters is the max') })
    expect(sandboxHostname(makePod({ spec: { hostNetwork: true } }), domain)).toEqual({ ok: true, hostname: '' })
  })
})

describe('the hosts file', () => {
  const aliases = [{ ip: '1.2.3.4', hostnames: ['a', 'b'] }]
  it('names the pod and its aliases', () => {
    const text = podHostsFile(['10.1.0.2'], 'p', 's.ns.svc.cluster.local', aliases)
    expect(text).toMatch(/^# Kubernetes-managed hosts file\.\n127\.0\.0\.1\tlocalhost\n/)
    expect(text).toMatch(
      /\n10\.1\.0\.2\tp\.s\.ns\.svc\.cluster\.local\tp\n\n# Entries added by HostAliases\.\n1\.2\.3\.4\ta\tb\n$/,
    )
    expect(podHostsFile(['10.1.0.2'], 'p', '', undefined)).toMatch(/\n10\.1\.0\.2\tp\n$/)
  })
  it("is the node's own on the host's network", () => {
    expect(hostNetworkHostsFile('127.0.0.1 me\n', undefined)).toBe(
      '# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n',
    )
  })
})

describe('portMappings', () => {
  const ports = [
    { containerPort: 80, hostPort: 8080, protocol: 'TCP', hostIP: '10.0.0.1' },
    { containerPort: 53, protocol: 'UDP' },
  ]
  it('holds host ports alone', () => {
    expect(portMappings(makePod({ spec: { containers: [{ name: 'c', image: 'x', ports }] } }))).toEqual([
      { protocol: 'TCP', containerPort: 80, hostPort: 8080, hostIP: '10.0.0.1' },
    ])
    expect(
      portMappings(makePod({ spec: { hostNetwork: true, containers: [{ name: 'c', image: 'x', ports }] } })),
    ).toEqual([])
  })
})

describe('bandwidth annotations', () => {
  it.each([
    ['10M', undefined],
    ['much', 'annotation kubernetes.io/egress-bandwidth: quantities must match the regular expression'],
    ['999', 'annotation kubernetes.io/egress-bandwidth: resource is unreasonably small (< 1kbit)'],
    ['2P', 'annotation kubernetes.io/egress-bandwidth: resource is unreasonably large (> 1Pbit)'],
  ])('%s', (rate, complaint) => {
    const pod = makePod({})
    const annotations = { 'kubernetes.io/ingress-bandwidth': '1k', 'kubernetes.io/egress-bandwidth': rate }
    const found = bandwidthComplaint({ ...pod, metadata: { ...pod.metadata, annotations } })
    expect(found?.slice(0, complaint?.length)).toBe(complaint)
  })
})
