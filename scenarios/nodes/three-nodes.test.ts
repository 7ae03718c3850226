// A8 and N1 to N6 across nodes: three nodes in network namespaces. Pods find each other, what is asked of a node goes through
// its tunnel, and a node whose link is cut loses its pods to the others and finds them gone when it returns.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Pod } from '../../src/api/core/pod.ts'
import { announcerOf } from '../../src/proxy/announcers.ts'
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
        command: [sh, -c, 'mkdir /www; echo $NODE > /www/index.html; echo "started on $NODE"; exec httpd -f -p 8080 -h /www']
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`
/** Pods that leave a lost node after three seconds. */
const moving = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: moving}
spec:
  replicas: 3
  selector: {matchLabels: {app: moving}}
  template:
    metadata: {labels: {app: moving}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 3}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 3}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: moving}}}
      containers:
      - {name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, '100000']}
`
/** An address of the load balancer pool that the third node answers for while there are three. Of a range for documentation
 * (RFC 5737) that no machine around has an address of: it would answer on the nodes' link too. */
const balanced =
  Array.from({ length: 60 }, (_, i) => `198.51.100.${i + 1}`).find(
    (a) => announcerOf(a, ['n1', 'n2', 'n3']) === 'n3',
  ) ?? ''
const balancer = `
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`
const denied = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web-from-nobody}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
`

describe.runIf(able)('three nodes', () => {
  let nodes: Nodes
  const podsOf = async (app: string): Promise<Pod[]> =>
    (JSON.parse(await nodes.ok(['get', 'pods', '-l', `app=${app}`, '-o', 'json'])) as { items: Pod[] }).items
  const byNode = async (app: string) => new Map((await podsOf(app)).map((pod) => [pod.spec.nodeName ?? '', pod]))
  const isReady = (pod: Pod) => pod.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true
  const fetch = (pod: string, url: string) =>
    nodes.run(['exec', pod, '--', 'timeout', '3', 'wget', '-q', '-O', '-', url])

  beforeAll(async () => {
    nodes = await startNodes(
      3,
      { busybox: await busyboxArchive() },
      { flags: ['--load-balancer-pool', `${balanced}/32`] },
    )
    await nodes.ok(['apply', '-f', '-'], web)
    await nodes.until('a ready pod on each node', async () => {
      const pods = await podsOf('web')
      return pods.length === 3 && pods.every(isReady)
    })
  }, 600_000)
  afterAll(() => nodes?.remove(), 180_000)

  test('every node has its own addresses, certificates that the cluster gave, and one pod of the DaemonSet', async () => {
    const list = JSON.parse(await nodes.ok(['get', 'nodes', '-o', 'json'])) as {
      items: { spec: { podCIDR: string } }[]
    }
    expect(new Set(list.items.map(({ spec }) => spec.podCIDR)).size).toBe(3)
    expect([...(await byNode('web')).keys()].sort()).toEqual(['n1', 'n2', 'n3'])
    const signers = await nodes.ok(['get', 'csr', '-o', 'jsonpath={.items[*].spec.signerName}'])
    expect(signers.match(/kube-apiserver-client-kubelet/g)).toHaveLength(2)
  })
  test('pods reach pods, services and names on other nodes', async () => {
    const pods = await byNode('web')
    for (const from of nodes.names)
      for (const to of nodes.names) {
        const url = `http://${pods.get(to)?.status.podIP ?? ''}:8080`
        expect((await fetch(pods.get(from)?.metadata.name ?? '', url)).stdout.trim()).toBe(to)
      }
    const seen = new Set<string>()
    await nodes.until('every node behind the service', async () => {
      seen.add((await fetch(pods.get('n3')?.metadata.name ?? '', 'http://web.default.svc.cluster.local')).stdout.trim())
      return seen.size === 3
    })
  })
  test('logs, exec and proxies go through the tunnel of a node that cannot be dialled', async () => {
    await nodes.shell(
      'n2',
      'nft add table inet wall; nft "add chain inet wall in { type filter hook input priority -10; }"',
    )
    await nodes.shell('n2', 'nft add rule inet wall in ct state new tcp dport 10250 drop')
    const pod = (await byNode('web')).get('n2')?.metadata.name ?? ''
    expect(await nodes.ok(['logs', pod])).toBe('started on n2\n')
    expect(await nodes.ok(['exec', '-i', pod, '--', 'cat'], 'through')).toBe('through')
    expect((await nodes.run(['exec', pod, '--', 'sh', '-c', 'exit 7'])).code).toBe(7)
    expect(await nodes.ok(['get', '--raw', `/api/v1/namespaces/default/pods/${pod}:8080/proxy/`])).toBe('n2\n')
    expect(await nodes.ok(['get', '--raw', '/api/v1/nodes/n2/proxy/healthz'])).toBe('ok')
    await nodes.shell('n2', 'nft delete table inet wall')
  })
  test('a policy holds on every node', async () => {
    const pods = await byNode('web')
    const [from, to] = [pods.get('n1'), pods.get('n3')]
    const url = `http://${to?.status.podIP ?? ''}:8080`
    await nodes.ok(['apply', '-f', '-'], denied)
    await nodes.until('the door is shut', async () => (await fetch(from?.metadata.name ?? '', url)).code !== 0)
    await nodes.ok(['delete', 'networkpolicy', 'web-from-nobody'])
    await nodes.until('the door is open', async () => (await fetch(from?.metadata.name ?? '', url)).code === 0)
  })
  test('a node whose link is cut loses its pods to others, and finds them gone when it returns', async () => {
    await nodes.ok(['apply', '-f', '-'], moving)
    await nodes.ok(['rollout', 'status', 'deployment/moving', '--timeout=120s'])
    const before = await byNode('moving')
    const lost = before.get('n3')?.metadata.name
    expect(lost).toBeDefined()
    // A machine on the same link, which is no node, uses a load balancer address that the lost node answers for.
    await nodes.ok(['apply', '-f', '-'], balancer)
    const holds = async (node: string) => (await nodes.shell(node, `ip -o address show to ${balanced}`)) !== ''
    await nodes.until('the third node answers for the address', () => holds('n3'))
    await nodes.neighbour('ip route add 198.51.100.0/24 dev eth0')
    // A bash whose input is a socket, as Node's pipes are, takes itself for a remote login and reads .bashrc.
    const dial = () =>
      nodes.neighbour(
        `timeout 2 bash --norc -c 'exec 3<>/dev/tcp/${balanced}/80; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3' 2>&1 || true`,
      )
    await nodes.until('the client reaches the address', async () => /^n[123]$/m.test(await dial()))
    const link = async () => /lladdr (\S+)/.exec(await nodes.neighbour(`ip neigh show to ${balanced}`))?.[1]
    const others = async () => (await holds('n1')) || (await holds('n2'))
    // Its agent is killed: the kernel goes on, and the agent that comes next finds what was left to it.
    const { pid } = JSON.parse(readFileSync(join(nodes.folder, 'n3', 'cox.json'), 'utf8')) as { pid: number }
    process.kill(pid, 'SIGKILL')
    expect(await dial()).toMatch(/^n[123]$/m)
    expect((await nodes.cox('n3', ['agent', '--detach', '--yes', '--node-name', 'n3'])).code).toBe(0)
    expect([await holds('n3'), await others()]).toEqual([true, false])
    expect(await dial()).toMatch(/^n[123]$/m)
    const [, mac = ''] = /ether (\S+)/.exec(await nodes.shell('n3', 'ip link show eth0')) ?? []
    await nodes.until('neighbours know it by its own address again', async () => (await link()) === mac)
    await nodes.link('n3', 'down')
    await nodes.until(
      'three pods on the nodes that are left',
      async () => (await podsOf('moving')).filter((pod) => pod.spec.nodeName !== 'n3' && isReady(pod)).length === 3,
    )
    await nodes.until('the client reaches the address through another node', async () => /^n[12]$/m.test(await dial()))
    expect(await link()).not.toBe(mac)
    expect((await nodes.run(['logs', lost ?? ''])).stderr).toMatch(/no connection to node "n3"|NotFound|error dialing/)
    await nodes.link('n3', 'up')
    await nodes.ok(['wait', '--for=condition=Ready', 'node/n3', '--timeout=120s'])
    await nodes.until(
      'the old pod is gone',
      async () => !(await podsOf('moving')).some((pod) => pod.metadata.name === lost),
    )
    await nodes.until(
      'the third node alone answers for the address again',
      async () => !(await others()) && holds('n3'),
    )
    const web3 = (await byNode('web')).get('n3')?.metadata.name ?? ''
    await nodes.until('its tunnel is back', async () => (await nodes.run(['logs', web3])).stdout === 'started on n3\n')
  }, 400_000)
  test('a drained node is empty, a removed one leaves no route', async () => {
    await nodes.ok(['drain', 'n2', '--ignore-daemonsets', '--timeout=120s'])
    expect((await byNode('moving')).has('n2')).toBe(false)
    expect(await nodes.shell('n1', 'ip route show proto 143')).toMatch(/via \S+\.2 /)
    expect((await nodes.cox('n2', ['down'])).code).toBe(0)
    await nodes.ok(['delete', 'node', 'n2'])
    await nodes.until('the route is gone', async () => !/\.2 /.test(await nodes.shell('n1', 'ip route show proto 143')))
  })
})
