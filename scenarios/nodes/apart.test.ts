// N1 and N2 where nodes share no link, in both address families: a router between them knows no pods, packets travel in
// VXLAN, none is broken into pieces, and what led to a node that was removed is gone.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Pod } from '../../src/api/core/pod.ts'
import { busyboxArchive } from '../images/busybox.ts'
import { able } from '../kubectl/binary.ts'
import { type Nodes, startNodes } from './namespaces.ts'

const web = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: busybox
        imagePullPolicy: IfNotPresent
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        command:
        - sh
        - -c
        - mkdir /www; echo $NODE > /www/index.html; head -c 500000 /dev/zero > /www/big; exec httpd -f -p 8080 -h /www
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ipFamilyPolicy: RequireDualStack, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec: {ipFamilies: [IPv6], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`

describe.runIf(able)('two nodes behind a router, both address families', () => {
  let nodes: Nodes
  let pods: ReadonlyMap<string, Pod>
  const nameOn = (node: string) => pods.get(node)?.metadata.name ?? ''
  const addressesOn = (node: string) => (pods.get(node)?.status.podIPs ?? []).map(({ ip }) => ip)
  const hostOf = (ip: string) => (ip.includes(':') ? `[${ip}]` : ip)
  const inPod = async (node: string, line: string) =>
    (await nodes.run(['exec', nameOn(node), '--', 'sh', '-c', line])).stdout.trim()
  const fetch = (node: string, url: string) => inPod(node, `timeout 5 wget -q -O - ${url}`)

  beforeAll(async () => {
    nodes = await startNodes(2, { busybox: await busyboxArchive() }, { apart: true, flags: ['--dual-stack'] })
    await nodes.ok(['apply', '-f', '-'], web)
    await nodes.ok(['rollout', 'status', 'daemonset/web', '--timeout=180s'])
    const { items } = JSON.parse(await nodes.ok(['get', 'pods', '-l', 'app=web', '-o', 'json'])) as { items: Pod[] }
    pods = new Map(items.map((pod) => [pod.spec.nodeName ?? '', pod]))
  }, 600_000)
  afterAll(() => nodes?.remove(), 180_000)

  test('every pod has an address of each family, and reaches the pods of the other node by both', async () => {
    for (const node of nodes.names) expect(addressesOn(node).map((ip) => ip.includes(':'))).toEqual([false, true])
    expect(await nodes.shell('n1', 'ip route show proto 143')).toMatch(/ dev cxv\S+ .*onlink/)
    for (const [from, to] of [
      ['n1', 'n2'],
      ['n2', 'n1'],
    ] as const)
      for (const ip of addressesOn(to))
        await nodes.until(`${from} to ${ip}`, async () => (await fetch(from, `http://${hostOf(ip)}:8080`)) === to)
  })
  test('packets fit into the tunnel: large answers come through and none is broken into pieces', async () => {
    expect(await inPod('n2', 'cat /sys/class/net/eth0/mtu')).toBe('1450')
    for (const ip of addressesOn('n1'))
      expect(await inPod('n2', `timeout 20 wget -q -O - http://${hostOf(ip)}:8080/big | wc -c`)).toBe('500000')
    const pieces = 'nstat -asz IpFragCreates'
    expect(await nodes.shell('n1', pieces)).toMatch(/IpFragCreates +0 /)
  })
  test('Services of both families, and of IPv6 alone, by address and by name', async () => {
    const ips = (
      await nodes.ok(['get', 'service', 'web', 'six', '-o', 'jsonpath={.items[*].spec.clusterIPs[*]}'])
    ).split(' ')
    expect(ips.map((ip) => ip.includes(':'))).toEqual([false, true, true])
    for (const ip of ips) {
      const seen = new Set<string>()
      await nodes.until(`both pods behind ${ip}`, async () => {
        seen.add(await fetch('n2', `http://${hostOf(ip)}`))
        return seen.has('n1') && seen.has('n2')
      })
    }
    expect(await inPod('n2', 'nslookup -type=aaaa six.default.svc.cluster.local')).toContain(ips[2])
    expect(await fetch('n2', 'http://six.default.svc.cluster.local')).toMatch(/^n[12]$/)
  })
  test('cox status: the cluster on a server, its own node on an agent, which has no rights over more', async () => {
    const [server, agent] = [await nodes.cox('n1', ['status']), await nodes.cox('n2', ['status'])]
    expect([server.code, server.stdout]).toEqual([0, expect.stringMatching(/^node n1 +Ready\nnode n2 +Ready$/m)])
    expect([agent.code, agent.stdout]).toEqual([0, expect.stringMatching(/^server +https:\S+ +answers$/m)])
    expect(agent.stdout).toMatch(/^node n2 +Ready\npods +1 Running$/m)
    const denied = await nodes.cox('n2', ['get', 'pods'])
    expect([denied.code, denied.stderr]).toEqual([1, expect.stringContaining('is a node of the cluster at https://')])
  })
  test('tokens are made, listed, deleted and end; a join that is not right says why and leaves nothing', async () => {
    const make = async (...flags: readonly string[]) =>
      (await nodes.cox('n1', ['token', 'create', ...flags])).stdout.trim()
    const [whole, ended, deleted] = [
      await make('--ttl', '1h', '--description', 'the third machine'),
      await make('--ttl', '1s'),
      await make(),
    ]
    const id = (text: string) => text.split('.')[0] ?? ''
    const list = (await nodes.cox('n1', ['token', 'list'])).stdout
    expect(list).toMatch(new RegExp(`^${id(whole)} +(60m|59m\\S*|1h) .* the third machine$`, 'm'))
    expect((await nodes.cox('n1', ['token', 'delete', deleted])).stdout).toBe(`token ${id(deleted)} deleted\n`)
    expect((await nodes.cox('n1', ['token', 'list'])).stdout).not.toContain(id(deleted))
    expect((await nodes.cox('n1', ['token', 'delete', id(deleted)])).stderr).toContain('not found')
    expect((await nodes.cox('n1', ['token', 'create', '--ttl', 'soon'])).stderr).toContain('--ttl wants a time such as')

    const server = /https:\S+/.exec((await nodes.cox('n2', ['status'])).stdout)?.[0] ?? ''
    const join = async (...flags: readonly string[]) => {
      const place = ['--data-dir', `${nodes.folder}/n3`, '--node-name', 'n3', '--yes', '--detach']
      const { code, stderr } = await nodes.cox('n2', ['agent', ...place, '--server', server, ...flags])
      expect(code).not.toBe(0)
      return stderr
    }
    expect(await join('--token', deleted)).toContain(`does not know the token "${id(deleted)}"`)
    await nodes.until('the token has ended', async () =>
      (await join('--token', ended)).includes(`does not know the token "${id(ended)}": it has ended or was deleted`),
    )
    expect(await join('--token', `${id(whole)}.0123456789abcdef`)).toContain('has another secret')
    expect(await join('--token', 'no-token')).toContain('--token wants')
    const hash = `sha256:${'0'.repeat(64)}`
    expect(await join('--token', whole, '--ca-hash', hash)).toContain(
      'has another certificate authority than --ca-hash',
    )
    expect(await join('--token', whole, '--node-name', 'n1')).toContain('has a node "n1" that is Ready')
    expect(await nodes.ok(['get', 'nodes', '-o', 'name'])).toBe('node/n1\nnode/n2\n')
  })
  test('a removed node leaves no route, no neighbour and no tunnel', async () => {
    expect((await nodes.cox('n2', ['down'])).code).toBe(0)
    await nodes.ok(['delete', 'node', 'n2'])
    await nodes.until('nothing leads to it', async () => {
      const left = await nodes.shell(
        'n1',
        'ip route show proto 143; ip -6 route show proto 143; ip -o link show type vxlan; ip neigh show nud permanent | grep -v NOARP || true',
      )
      return left.trim() === ''
    })
  })
})
