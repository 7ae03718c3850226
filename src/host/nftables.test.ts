// Real packets through a real kernel: two network namespaces, a client and a server, with the rules in between.
import { execFileSync, spawn } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DataplaneState, ServiceRule } from '../ports/dataplane.ts'
import { silentLog } from '../ports/log.ts'
import { nftablesDataplane } from './nftables.ts'
import { createShell } from './shell.ts'
import { isRoot } from './testing/needs.ts'

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
    sh(`ip netns add ${node}; ip -n ${node} link set lo up; ip netns exec ${node} sysctl -qw net.ipv4.ip_forward=1
      ip -n ${node} route add 10.77.0.0/24 dev lo`)
    pods.forEach((pod, i) => {
      sh(`ip netns add ${pod}; ip -n ${pod} link set lo up
        ip link add ${id}v${i} netns ${node} type veth peer name eth0 netns ${pod}
        ip -n ${node} addr add 10.66.${i}.1/24 dev ${id}v${i}; ip -n ${node} link set ${id}v${i} up
        ip -n ${pod} addr add 10.66.${i}.2/24 dev eth0; ip -n ${pod} link set eth0 up
        ip -n ${pod} route add default via 10.66.${i}.1`)
    })
    for (const port of [8080, 8081]) {
      const server = spawn('ip', [
        'netns',
        'exec',
        pods[1] ?? '',
        process.execPath,
        '-e',
        `require('net').createServer(s=>{s.on('error',()=>{});s.end('${port} '+s.remoteAddress)}).listen(${port},'0.0.0.0',()=>console.log('up'))`,
      ])
      servers.push(server)
      await new Promise<void>((done) => server.stdout?.once('data', () => done()))
    }
  })
  afterAll(() => {
    shell.close()
    for (const server of servers) server.kill('SIGKILL')
    for (const ns of [node, ...pods]) sh(`ip netns del ${ns}`)
  })
  /** What a connection from `from` to host:port answers, or the error code. */
  const dial = (from: string, host: string, port: number): string =>
    execFileSync(
      'ip',
      [
        'netns',
        'exec',
        from,
        process.execPath,
        '-e',
        `const s=require('net').connect(${port},'${host}');let t='';s.setTimeout(700,()=>{console.log('TIMEOUT');process.exit()});s.on('data',d=>t+=d);s.on('end',()=>{console.log(t);process.exit()});s.on('error',e=>{console.log(e.code);process.exit()})`,
      ],
      { encoding: 'utf8' },
    ).trim()
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
  it('enforces a policy on what arrives and on what leaves', async () => {
    const allow = (peers: readonly string[], port: number) => ({
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
    expect(dial(client, '10.66.1.2', 8080)).toBe('TIMEOUT')
    expect(dial(client, '10.66.1.2', 8081)).toBe('8081 10.66.0.2')
    await dataplane.apply(
      state({
        services: [rule({})],
        policies: [{ key: 'default/q', podIP: '10.66.0.2', direction: 'egress', allow: [allow([], 8080)] }],
      }),
    )
    expect(dial(client, '10.77.0.10', 80)).toBe('8080 10.66.0.2')
    expect(dial(client, '10.66.1.2', 8081)).toBe('TIMEOUT')
  })
  it('leaves nothing behind', async () => {
    await dataplane.clear()
    expect(sh(`ip netns exec ${node} nft list tables`)).toBe('')
  })
})
