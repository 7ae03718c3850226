// Two servers on one etcd: either answers for the whole cluster, no address or port is given twice, and when one is killed
// the other goes on, with the controllers that the killed one ran.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EtcdServer, hasEtcd, startEtcd } from '../../src/store/testing/etcd-server.ts'
import { type Result, type TestCluster, testCluster } from '../cli/cox.ts'
import { spawned } from '../kubectl/cluster.ts'
import { eventually } from '../network/network.ts'
import { kubectlFile } from '../kubectl/binary.ts'

const names = Array.from({ length: 12 }, (_, i) => `s${i}`)
const service = (name: string, spec: string) =>
  `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {${spec}}\n`
const nodePort = (name: string, more = '') => service(name, `type: NodePort, ports: [{port: 80${more}}]`)
const deployment = (name: string, replicas = 2) => `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: ${name}}}
  template: {metadata: {labels: {app: ${name}}}, spec: {containers: [{name: c, image: i}]}}
`

describe.runIf(hasEtcd())('two servers on one etcd', () => {
  let etcd: EtcdServer
  const servers: TestCluster[] = []
  const kubectl = (i: number, args: readonly string[], input?: string): Promise<Result> =>
    spawned(kubectlFile, args, { KUBECONFIG: join(servers[i]?.dataDir ?? '', 'kubeconfig') }, input)
  const ok = async (i: number, args: readonly string[], input?: string): Promise<string> => {
    const { code, stdout, stderr } = await kubectl(i, args, input)
    if (code !== 0) throw new Error(stderr)
    return stdout.trim()
  }
  const start = async (i: number, ...flags: readonly string[]) => {
    const place = ['--listen', '0.0.0.0:0', '--advertise-address', `192.0.2.${i + 1}`]
    return servers[i]?.run(['server', '--detach', '--store', `etcd=${etcd.url}`, ...place, ...flags])
  }

  beforeAll(async () => {
    etcd = await startEtcd()
    servers.push(testCluster('server-a'), testCluster('server-b'))
    expect((await start(0))?.code).toBe(0)
    expect((await start(1))?.stderr).toContain('--server-token')
    const token = readFileSync(join(servers[0]?.dataDir ?? '', 'server-token'), 'utf8').trim()
    expect((await start(1, '--server-token', `${token}x`))?.stderr).toContain('is not the secret of the cluster')
    expect((await start(1, '--server-token', token))?.code).toBe(0)
  })
  afterAll(async () => {
    for (const server of servers) await server.remove()
    await etcd?.stop()
  })

  test('what one writes the other reads, and both stand behind the kubernetes Service', async () => {
    await ok(0, ['create', 'configmap', 'c', '--from-literal=a=1'])
    expect(await ok(1, ['get', 'configmap', 'c', '-o', 'jsonpath={.data.a}'])).toBe('1')
    const endpoints = () => ok(0, ['get', 'endpoints', 'kubernetes', '-o', 'jsonpath={.subsets[*].addresses[*].ip}'])
    await eventually(endpoints, (text) => text.split(' ').sort().join() === '192.0.2.1,192.0.2.2')
    expect((await servers[1]?.run(['status']))?.code).toBe(0)
  })
  test('cluster IPs and node ports are given once, whoever gives them', async () => {
    await Promise.all([0, 1].map((i) => ok(i, ['apply', '-f', '-'], names.map((n) => nodePort(`${n}-${i}`)).join(''))))
    const given = async (path: string) =>
      (await ok(1, ['get', 'services', '-o', `jsonpath={.items[*].${path}}`])).split(' ')
    const [ips, ports] = [await given('spec.clusterIP'), await given('spec.ports[*].nodePort')]
    expect([ips.length, new Set(ips).size]).toEqual([25, 25])
    expect([ports.length, new Set(ports).size]).toEqual([24, 24])
    const ip = await ok(0, ['get', 'service', 's0-0', '-o', 'jsonpath={.spec.clusterIP}'])
    const port = await ok(0, ['get', 'service', 's0-0', '-o', 'jsonpath={.spec.ports[0].nodePort}'])
    const taken = await kubectl(1, ['apply', '-f', '-'], service('x', `clusterIP: ${ip}, ports: [{port: 80}]`))
    expect(taken.stderr).toContain('provided IP is already allocated')
    const again = await kubectl(1, ['apply', '-f', '-'], nodePort('x', `, nodePort: ${port}`))
    expect(again.stderr).toContain('provided port is already allocated')
    await ok(0, ['delete', 'service', 's0-0'])
    await eventually(
      () => kubectl(1, ['apply', '-f', '-'], nodePort('x', `, nodePort: ${port}`)),
      ({ code }) => code === 0,
    )
  })
  test('one is killed: the other answers, and goes on with what the controllers do', async () => {
    const leader = () =>
      ok(1, ['get', 'lease', '-n', 'kube-system', 'kube-controller-manager', '-o', 'jsonpath={.spec.holderIdentity}'])
    const before = await leader()
    // In the middle of a rollout: what the killed one began is finished, and nothing of it is made twice.
    await ok(1, ['apply', '-f', '-'], deployment('during', 300))
    const made = async () => (await ok(1, ['get', 'pods', '-l', 'app=during', '-o', 'name'])).split('\n').length
    const [, early] = await Promise.all([servers[0]?.kill(), made()])
    expect(early).toBeLessThan(300)
    await ok(1, ['apply', '-f', '-'], deployment('after'))
    const replicas = () =>
      ok(1, ['get', 'deployment', 'after', '-o', 'jsonpath={.status.observedGeneration}/{.status.replicas}'])
    await eventually(replicas, (text) => text === '1/2', 120_000)
    expect(await leader()).not.toBe(before)
    const during = () => ok(1, ['get', 'deployment', 'during', '-o', 'jsonpath={.status.replicas}'])
    await eventually(during, (text) => text === '300', 120_000)
    expect(await made()).toBe(300)
    const sets = await ok(1, ['get', 'replicasets', '-l', 'app=during', '-o', 'name'])
    expect(sets.split('\n')).toHaveLength(1)
    const endpoints = () => ok(1, ['get', 'endpoints', 'kubernetes', '-o', 'jsonpath={.subsets[*].addresses[*].ip}'])
    await eventually(endpoints, (text) => text === '192.0.2.2')
  })
})
