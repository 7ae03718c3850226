import { describe, expect, test } from 'vitest'
import { askedRanges, overlapAmong, routedRanges } from './address-ranges.ts'

describe('flags', () => {
  test.each([
    ['10.42.0.0/16', '10.43.0.0/16'],
    ['10.0.0.0/8', '192.168.7.0/28'],
    ['10.42.0.0/24,fd00:42::/56', '10.43.0.0/16,fd00:43::/112'],
    [undefined, '10.43.0.0/12'.replace('43', '32')],
  ])('%s and %s are taken', (cluster, service) => {
    expect(askedRanges(cluster, service)).toEqual({
      clusterCidrs: cluster?.split(',') ?? [],
      serviceCidrs: service.split(','),
    })
  })
  test.each([
    ['10.42.0.0', undefined, '--cluster-cidr wants a CIDR such as 10.42.0.0/16, not "10.42.0.0"'],
    ['', undefined, '--cluster-cidr wants a CIDR'],
    ['10.42.1.0/16', undefined, 'wants the first address of the range: 10.42.0.0/16, not 10.42.1.0/16'],
    ['10.42.0.0/25', undefined, '--cluster-cidr wants a prefix of /8 to /24, not 10.42.0.0/25'],
    ['fd00::/64', undefined, '--cluster-cidr wants one IPv4 range, and after a comma one of IPv6'],
    ['10.1.0.0/16,10.2.0.0/16', undefined, '--cluster-cidr wants one IPv4 range'],
    [undefined, '10.43.0.0/29', '--service-cidr wants a prefix of /12 to /28, not 10.43.0.0/29'],
    [undefined, '10.43.0.0/16,fd00::/64', '--service-cidr wants a prefix of /108 to /124, not fd00::/64'],
  ])('%s and %s: %s', (cluster, service, message) => {
    expect(() => askedRanges(cluster, service)).toThrow(message)
  })
})
test('two that overlap are named', () => {
  const pods = { name: '--cluster-cidr', text: '10.42.0.0/16' }
  expect(overlapAmong([pods, { name: '--service-cidr', text: '10.43.0.0/16' }])).toBeUndefined()
  expect(overlapAmong([pods, { name: '--service-cidr', text: '10.42.128.0/20' }])).toBe(
    '--cluster-cidr 10.42.0.0/16 and --service-cidr 10.42.128.0/20 overlap: choose ranges that are apart',
  )
})
test('routes of the kernel', () => {
  const table = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU',
    'eth0\t00000000\tFE00630A\t0003\t0\t0\t0\t00000000\t0\t0',
    'eth0\t0005630A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0',
  ].join('\n')
  expect(routedRanges(table)).toEqual([{ name: 'which this machine routes by eth0', text: '10.99.5.0/24' }])
})
