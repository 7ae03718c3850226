// Real packets through a real kernel: two network namespaces, a client and a server, with the rules in between.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DataplaneState, PolicyAllow, PolicyRule, ServiceRule } from '../../ports/dataplane.ts'
import { silentLog } from '../../ports/log.ts'
import { nftablesDataplane } from './dataplane.ts'
import { createShell } from '../shell.ts'
import { isRoot } from '../testing/needs.ts'

const sh = (command: string) =>
  execFileSync('sh', ['-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

const id = `coxnft${process.pid}`
const rule = (over: Partial<ServiceRule>): ServiceRule => ({
  key: 'default/web:http',
  family: 4,
  protocol: 'TCP',
  clusterIP: '10.77.0.10',
  port: 80,
  nodePort: undefined,
  externalIPs: [],
  loadBalancerIPs: [],
  sourceRanges: [],
  affinitySeconds: undefined,
  internalEndpoints: [{ ip: '10.66.1.2', port: 8080, local: true }],
  externalEndpoints: [{ ip: '10.66.1.2', port: 8080, local: true }],
  dropInternal: false,
  dropExternal: false,
  keepClientAddress: false,
  ...over,
})
const state = (over: Partial<DataplaneState>): DataplaneState => ({
  podCidrs: ['10.66.0.0/16'],
  serviceCidrs: ['10.77.0.0/24'],
  ownAddresses: [],
  nodePortAddresses: [],
  announcedAddresses: [],
  services: [],
  policies: [],
  ...over,
})

describe.runIf(isRoot)('nftables dataplane', () => {
  const node = `${id}n`
  const pods = [`${id}a`, `${id}b`]
  const servers: ReturnType<typeof spawn>[] = []
  const shell = createShell(1)
  const dataplane = nftablesDataplane({ table: `cox_${id}`, log: silentLog, netns: node, shell })
  beforeAll(async () => {
    sh(`ip netns add ${node}; ip -n ${node} link set lo up; ip netns exec ${node} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
      ip -n ${node} route add 10.77.0.0/24 dev lo; ip -n ${node} -6 route add fd77::/64 dev lo`)
    pods.forEach((pod, i) => {
      sh(`ip netns add ${pod}; ip -n ${pod} link set lo up
        ip link add ${id}v${i} netns ${node} type veth peer name eth0 netns ${pod}
        ip -n ${node} addr add 10.66.${i}.1/24 dev ${id}v${i}; ip -n ${node} link set ${id}v${i} up
        ip -n ${pod} addr add 10.66.${i}.2/24 dev eth0; ip -n ${pod} link set eth0 up
        ip -n ${pod} route add default via 10.66.${i}.1
        ip -n ${node} addr add fd66:${i}::1/64 dev ${id}v${i} nodad; ip -n ${pod} addr add fd66:${i}::2/64 dev eth0 nodad
        ip -n ${pod} -6 route add default via fd66:${i}::1`)
    })
    for (const port of [8080, 8081]) {
      const server = spawn('ip', [
        'netns',
        'exec',
        pods[1] ?? '',
        process.execPath,
        '-e',
        `require('net').createServer(s=>{s.on('error',()=>{});s.end('${port} '+s.remoteAddress.replace('::ffff:',''))}).listen(${port},'::',()=>console.log('up'))`,
      ])
      servers.push(server)
      await new Promise<void>((done) => server.stdout?.once('data', () => done()))
    }
  }, 60_000)
  afterAll(() => {
    shell.close()
    for (const server of servers) server.kill('SIGKILL')
    for (const ns of [node, ...pods]) sh(`ip netns del ${ns}`)
  })
  /** What a connection from `from` to host:port answers, or the error code. */
  const dial = (from: string, host: string, port: number, timeoutSeconds = 20): string => {
    const script = `exec 3<>/dev/tcp/${host}/${port} && cat <&3`
    // A bash whose input is a socket, as Node's pipes are, takes itself for a remote login and reads .bashrc.
    const within = ['timeout', String(timeoutSeconds), 'bash', '--norc', '-c', script]
    const { stdout, stderr, status } = spawnSync('ip', ['netns', 'exec', from, ...within], { encoding: 'utf8' })
    if (status === 124) return 'TIMEOUT'
    return /Connection refused/.test(stderr) ? 'ECONNREFUSED' : stdout.trim() || stderr.trim()
  }
  /** What is dropped is answered by nobody, however long one waits. */
  const dialDropped = (from: string, host: string, port: number) => dial(from, host, port, 2)
  const client = pods[0] ?? ''

  it('leads a cluster IP to an endpoint and keeps the pod address', async () => {
    await dataplane.apply(state({ services: [rule({})] }))
    expect(dial(client, '10.77.0.10', 80)).toBe('8080 10.66.0.2')
  })
  it('follows an endpoint change and takes vanished chains away', async () => {
    await dataplane.apply(
      state({ services: [rule({ internalEndpoints: [{ ip: '10.66.1.2', port: 8081, local: true }] })] }),
    )
    expect(dial(client, '10.77.0.10', 80)).toBe('8081 10.66.0.2')
    await dataplane.apply(state({}))
    expect(sh(`ip netns exec ${node} nft list table inet cox_${id}`)).not.toContain('svc-')
  })
  it('refuses a service without endpoints and a cluster IP without a service at once', async () => {
    await dataplane.apply(state({ services: [rule({ internalEndpoints: [], externalEndpoints: [] })] }))
    expect(dial(client, '10.77.0.10', 80)).toBe('ECONNREFUSED')
    expect(dial(client, '10.77.0.11', 80)).toBe('ECONNREFUSED')
  })
  it('balances over several endpoints, and keeps a client with affinity on one', async () => {
    const both = [8080, 8081].map((port) => ({ ip: '10.66.1.2', port, local: true }))
    await dataplane.apply(state({ services: [rule({ internalEndpoints: both })] }))
    const seen = new Set(Array.from({ length: 16 }, () => dial(client, '10.77.0.10', 80)))
    expect([...seen].sort()).toEqual(['8080 10.66.0.2', '8081 10.66.0.2'])
    await dataplane.apply(state({ services: [rule({ internalEndpoints: both, affinitySeconds: 60 })] }))
    expect(new Set(Array.from({ length: 8 }, () => dial(client, '10.77.0.10', 80))).size).toBe(1)
  })
  it('reaches itself through its service', async () => {
    await dataplane.apply(state({ services: [rule({})] }))
    expect(dial(pods[1] ?? '', '10.77.0.10', 80)).toBe('8080 10.66.1.1')
  })
  it('serves node ports on the node and from a pod', async () => {
    await dataplane.apply(state({ services: [rule({ nodePort: 30080 })] }))
    expect(dial(client, '10.66.0.1', 30080)).toMatch(/^8080 /)
    expect(dial(node, '10.66.0.1', 30080)).toMatch(/^8080 /)
    expect(dial(node, '10.77.0.10', 80)).toMatch(/^8080 /)
  })
  it('IPv6: cluster IP, node port from a pod and from the node, refused without endpoints', async () => {
    const six = [{ ip: 'fd66:1::2', port: 8080, local: true }]
    const v6 = rule({
      family: 6,
      clusterIP: 'fd77::10',
      nodePort: 30086,
      internalEndpoints: six,
      externalEndpoints: six,
    })
    const over = { podCidrs: ['10.66.0.0/16', 'fd66::/32'], serviceCidrs: ['10.77.0.0/24', 'fd77::/64'] }
    await dataplane.apply(state({ ...over, services: [v6] }))
    expect(dial(client, 'fd77::10', 80)).toBe('8080 fd66::2')
    expect(dial(client, 'fd66::1', 30086)).toMatch(/^8080 /)
    expect(dial(node, 'fd66::1', 30086)).toMatch(/^8080 /)
    await dataplane.apply(state({ ...over, services: [{ ...v6, internalEndpoints: [], externalEndpoints: [] }] }))
    expect(dial(client, 'fd77::10', 80)).toBe('ECONNREFUSED')
    expect(dial(client, 'fd66::1', 30086)).toBe('ECONNREFUSED')
  })
  it('a change of endpoints is elements alone: the others keep their slots', async () => {
    const at = (...ports: number[]) => ports.map((port) => ({ ip: '10.66.1.2', port, local: false }))
    const endpoints = async (...ports: number[]) => {
      await dataplane.apply(state({ services: [rule({ internalEndpoints: at(...ports) })] }))
      const text = sh(`ip netns exec ${node} nft list map inet cox_${id} endpoints4`)
      return [...text.matchAll(/\. (\d+) : 10\.66\.1\.2 \. (\d+)/g)].map((m) => `${m[1]}:${m[2]}`).sort()
    }
    expect(await endpoints(1, 2, 3)).toEqual(['0:1', '1:2', '2:3'])
    expect(await endpoints(2, 3)).toEqual(['0:3', '1:2'])
    expect(await endpoints(0, 2, 3)).toEqual(['0:3', '1:2', '2:0'])
    expect(await endpoints(8080)).toEqual(['0:8080'])
    expect(dial(client, '10.77.0.10', 80)).toBe('8080 10.66.0.2')
  })
  it('load balancer source ranges that overlap: who is outside is dropped', async () => {
    const balancer = { loadBalancerIPs: ['10.77.0.99'], nodePort: 30081 }
    await dataplane.apply(
      state({ services: [rule({ ...balancer, sourceRanges: ['10.66.0.0/24', '10.66.0.2/32', '10.66.0.9/16'] })] }),
    )
    expect(dial(client, '10.77.0.99', 80)).toMatch(/^8080 /)
    await dataplane.apply(state({ services: [rule({ ...balancer, sourceRanges: ['10.99.0.0/24'] })] }))
    expect(dialDropped(client, '10.77.0.99', 80)).toBe('TIMEOUT')
    expect(dial(client, '10.66.0.1', 30081)).toMatch(/^8080 /)
  })
  it('a Local policy keeps the address of who calls from outside', async () => {
    const over = { nodePort: 30082, keepClientAddress: true, externalIPs: ['10.77.0.98'] }
    await dataplane.apply(state({ podCidrs: ['10.66.1.0/24'], services: [rule(over)] }))
    expect(dial(client, '10.66.0.1', 30082)).toBe('8080 10.66.0.2')
    expect(dial(client, '10.77.0.98', 80)).toBe('8080 10.66.0.2')
    await dataplane.apply(
      state({ podCidrs: ['10.66.1.0/24'], services: [rule({ ...over, externalEndpoints: [], dropExternal: true })] }),
    )
    expect(dialDropped(client, '10.66.0.1', 30082)).toBe('TIMEOUT')
  })
  it('blocks with exceptions, port ranges, many peers', async () => {
    const policy = (allow: Partial<PolicyAllow>): PolicyRule => ({
      key: 'default/p',
      podIP: '10.66.1.2',
      direction: 'ingress',
      allow: [{ id: '0', peers: [], except: [], ports: [], ...allow }],
    })
    const apply = (allow: Partial<PolicyAllow>) => dataplane.apply(state({ policies: [policy(allow)] }))
    const range = (port: number, endPort: number) => ({ protocol: 'TCP' as const, port, endPort })
    await apply({ peers: ['10.66.0.0/16'], except: ['10.66.0.0/30', '10.66.0.0/31'] })
    expect(dialDropped(client, '10.66.1.2', 8080)).toBe('TIMEOUT')
    await apply({ peers: ['10.66.0.0/16'], except: ['10.66.9.0/24'], ports: [range(8000, 8080), range(8070, 8080)] })
    expect(dial(client, '10.66.1.2', 8080)).toMatch(/^8080/)
    expect(dialDropped(client, '10.66.1.2', 8081)).toBe('TIMEOUT')
    const many = Array.from({ length: 20_000 }, (_, i) => `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`)
    await apply({ peers: [...many, '10.66.0.2', '10.66.0.2/32'] })
    expect(dial(client, '10.66.1.2', 8081)).toMatch(/^8081/)
    await apply({ peers: many })
    expect(dialDropped(client, '10.66.1.2', 8081)).toBe('TIMEOUT')
    await apply({ peers: [], ports: [] })
    expect(dial(client, '10.66.1.2', 8081)).toMatch(/^8081/)
  })
  it('enforces a policy on what arrives and on what leaves', async () => {
    const allow = (peers: readonly string[], port: number) => ({
      id: '0',
      peers,
      except: [],
      ports: [{ protocol: 'TCP' as const, port }],
    })
    await dataplane.apply(
      state({
        services: [rule({})],
        policies: [{ key: 'default/p', podIP: '10.66.1.2', direction: 'ingress', allow: [allow(['10.66.0.2'], 8081)] }],
      }),
    )
    expect(dialDropped(client, '10.66.1.2', 8080)).toBe('TIMEOUT')
    expect(dial(client, '10.66.1.2', 8081)).toBe('8081 10.66.0.2')
    await dataplane.apply(
      state({
        services: [rule({})],
        policies: [{ key: 'default/q', podIP: '10.66.0.2', direction: 'egress', allow: [allow([], 8080)] }],
      }),
    )
    expect(dial(client, '10.77.0.10', 80)).toBe('8080 10.66.0.2')
    expect(dialDropped(client, '10.66.1.2', 8081)).toBe('TIMEOUT')
  })
  it('leaves nothing behind', async () => {
    await dataplane.clear()
    expect(sh(`ip netns exec ${node} nft list tables`)).toBe('')
  })
})
