import { describe, expect, test } from 'vitest'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { instanceOf } from './instance.ts'
import { choosePlan, networkPlan, planSix, refuseLinks, takenOctets, withAsked } from './network-plan.ts'

const header = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU'
const route = (destination: string, mask: string) => {
  const hex = (address: string) => Buffer.from(address.split('.').map(Number)).reverse().toString('hex').toUpperCase()
  return `eth0\t${hex(destination)}\t00000000\t0001\t0\t0\t0\t${hex(mask)}\t0\t0`
}

describe('address ranges', () => {
  test('routes and running clusters are stepped around', () => {
    const routes = [
      header,
      route('0.0.0.0', '0.0.0.0'),
      route('10.0.0.0', '255.0.0.0'),
      route('10.140.3.0', '255.255.255.0'),
      route('10.200.0.0', '255.254.0.0'),
      route('192.168.7.0', '255.255.255.0'),
    ].join('\n')
    const other = choosePlan('00000000', new Set())
    expect(takenOctets(routes, [other])).toEqual(new Set([140, 200, 201, 130, 190]))
  })
  test('a data directory finds its place, and the next one when that is taken', () => {
    const first = choosePlan('0000000a', new Set())
    expect(first).toEqual({
      clusterCidr: '10.140.0.0/16',
      nodeCidr: '10.140.0.0/24',
      serviceCidr: '10.200.0.0/16',
      dnsAddress: '10.200.0.10',
      apiAddress: '10.200.0.1',
    })
    expect(choosePlan('0000000a', new Set([140, 200])).clusterCidr).toBe('10.141.0.0/16')
  })
  test('both families: ranges that follow from the id', () => {
    expect(planSix('0123abcd')).toEqual({
      clusterCidr: 'fdc0:0123:abcd:100::/56',
      nodeCidr: 'fdc0:0123:abcd:100::/64',
      serviceCidr: 'fdc0:0123:abcd::/112',
      dnsAddress: 'fdc0:0123:abcd::a',
    })
  })
  test('the link of this machine is stepped around, its own address where the link is wide', () => {
    expect(takenOctets(header, [], ['10.150.3.1/16'])).toEqual(new Set([150]))
    expect(takenOctets(header, [], ['10.151.3.1/8'])).toEqual(new Set([151]))
  })
  test('what was asked for takes the place of what was chosen', () => {
    const asked = { clusterCidrs: ['172.20.0.0/14'], serviceCidrs: ['192.168.7.0/24', 'fd00:7::/112'] }
    expect(withAsked(choosePlan('0123abcd', new Set()), '0123abcd', asked, false)).toEqual({
      clusterCidr: '172.20.0.0/14',
      nodeCidr: '172.20.0.0/24',
      serviceCidr: '192.168.7.0/24',
      dnsAddress: '192.168.7.10',
      apiAddress: '192.168.7.1',
      six: { ...planSix('0123abcd'), serviceCidr: 'fd00:7::/112', dnsAddress: 'fd00:7::a' },
    })
  })
  test('ranges are those of the first start, and apart from the links', () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'cox-plan-'))
    try {
      const instance = instanceOf(dataDir)
      const plan = (clusterCidr: string, serviceCidr: string, links: string[] = []) =>
        networkPlan(instance, {
          claim: false,
          links,
          asked: { clusterCidrs: [clusterCidr], serviceCidrs: [serviceCidr] },
        })
      expect(() => plan('10.42.0.0/16', '10.42.1.0/24')).toThrow(/--cluster-cidr .* and --service-cidr .* overlap/)
      expect(() => plan('10.42.0.0/16', '10.43.0.0/16', ['10.42.7.1/24'])).toThrow(
        '--cluster-cidr 10.42.0.0/16 overlaps 10.42.7.1/24, the link of this machine: choose another range',
      )
      expect(() => networkPlan(instance, { claim: false, pool: ['10.1.0.0-10.255.0.0'] })).toThrow(
        /^--load-balancer-pool 10.1.0.0-10.255.0.0 overlaps 10.\d+.0.0\/16, the range of --cluster-cidr/,
      )
      expect(plan('10.42.0.0/16', '10.43.0.0/16', ['10.7.7.1/8']).clusterCidr).toBe('10.42.0.0/16')
      expect(() => plan('10.44.0.0/16', '10.43.0.0/16')).toThrow(
        /^--cluster-cidr 10.44.0.0\/16: this cluster has had 10.42.0.0\/16 since its first start/,
      )
      const kept = networkPlan(instance, { claim: false })
      expect(kept.dnsAddress).toBe('10.43.0.10')
      expect(refuseLinks(kept, ['10.43.9.1/8'])).toBe(
        "--service-cidr 10.43.0.0/16 overlaps 10.43.9.1, this machine's own address",
      )
    } finally {
      rmSync(dataDir, { recursive: true })
    }
  })
  test('when nothing is free it says what to do', () => {
    expect(() => choosePlan('0000000a', new Set(Array.from({ length: 256 }, (_, i) => i)))).toThrow(/cox down/)
  })
})
