import { describe, expect, test } from 'vitest'
import { choosePlan, planSix, takenOctets } from './network-plan.ts'

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
  test('when nothing is free it says what to do', () => {
    expect(() => choosePlan('0000000a', new Set(Array.from({ length: 256 }, (_, i) => i)))).toThrow(/cox down/)
  })
})
