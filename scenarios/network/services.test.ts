// N1 to N5 on real pods: addresses, Services of every type, endpoints, names, and the API's own way to pods.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Kubectl } from '../kubectl/cluster.ts'
import { able } from '../kubectl/binary.ts'
import { client, eventually, httpGet, inPod, networkCluster, onNode, server, udpAsk } from './network.ts'
import { kubectlFile } from '../kubectl/binary.ts'

describe.runIf(able)('the network of one node', () => {
  let k: Kubectl
  let nodeIP = ''
  const ip: Record<string, string> = {}
  const get = async (kind: string, name: string, path: string) =>
    (await k.ok(['get', '--ignore-not-found', kind, ...(name === '' ? [] : [name]), '-o', `jsonpath={${path}}`])).trim()
  const service = (name: string, spec: string, metadata = '') =>
    k.apply(`apiVersion: v1\nkind: Service\nmetadata: {name: ${name}${metadata}}\nspec: {${spec}}\n`)
  const ports =
    'ports: [{name: http, port: 80, targetPort: http}, {name: udp, port: 90, targetPort: udp, protocol: UDP}]'
  const asks = (line: string, wanted: string | RegExp) =>
    eventually(
      () => inPod(k, 'client', line),
      (text) => (typeof wanted === 'string' ? text === wanted : wanted.test(text)),
    )

  beforeAll(async () => {
    k = await networkCluster('net')
    await k.apply([server('web-a'), server('web-b'), client('client')].join('---\n'))
    for (const name of ['web-a', 'web-b', 'client']) ip[name] = (await k.ready(name, 120_000)).status.podIP ?? ''
    nodeIP = await get('node', '', '.items[0].status.addresses[0].address')
  }, 600_000)
  afterAll(() => k?.remove())

  test('N1: pods reach pods by address, and keep their own', async () => {
    await asks(httpGet(`${ip['web-a']}:8080`), 'web-a')
    await asks(udpAsk(ip['web-b'] ?? '', 9000), 'web-b')
    const seen = await inPod(
      k,
      'client',
      `echo hi | timeout 3 socat - TCP:${ip['web-a']}:8080 >/dev/null; ip -o addr show eth0`,
    )
    expect(seen).toContain(ip['client'])
  })
  test('N1: hostPort, from the node and from a pod', async () => {
    await k.apply(
      server('host-port', { labels: 'kind: extra' })
        .replace('containerPort: 8080', 'containerPort: 8080, hostPort: 28080')
        .replace('app: web', 'app: other'),
    )
    await k.ready('host-port')
    await asks(httpGet(`${nodeIP}:28080`), 'host-port')
    expect(onNode(`curl -s -m 3 http://127.0.0.1:28080/`)).toBe('host-port')
    await k.ok(['delete', 'pod', 'host-port'])
  })
  test('N2: a cluster IP spreads over its pods, TCP and UDP, from pods, from themselves and from the node', async () => {
    await service('web', `selector: {app: web}, ${ports}`)
    const seen = new Set<string>()
    await eventually(
      async () => seen.add(await inPod(k, 'client', httpGet('web'))),
      (all) => all.has('web-a') && all.has('web-b'),
    )
    const udp = new Set<string>()
    await eventually(
      async () => udp.add(await inPod(k, 'client', udpAsk('web', 90))),
      (all) => all.has('web-a') && all.has('web-b'),
    )
    const own = new Set<string>()
    await eventually(
      async () => own.add(await inPod(k, 'web-a', httpGet('web'))),
      (all) => all.has('web-a') && all.has('web-b'),
    )
    const clusterIP = await get('service', 'web', '.spec.clusterIP')
    expect(onNode(`curl -s -m 3 http://${clusterIP}/`)).toMatch(/^web-[ab]$/)
  })
  test('N2: no endpoint: refused at once, and served when there is one', async () => {
    await service('nobody', `selector: {app: nobody}, ${ports}`)
    await asks(httpGet('nobody'), /refused/)
    await k.ok(['patch', 'service', 'nobody', '-p', '{"spec":{"selector":{"app":"web"}}}'])
    await asks(httpGet('nobody'), /^web-[ab]$/)
  })
  test('N2: node port, external address, load balancer without a cloud', async () => {
    await service(
      'outside',
      `type: LoadBalancer, selector: {app: web}, externalIPs: [203.0.113.7], ports: [{port: 8181, targetPort: http}]`,
    )
    const nodePort = await eventually(
      () => get('service', 'outside', '.spec.ports[0].nodePort'),
      (text) => text !== '',
    )
    const balancer = await eventually(
      () => get('service', 'outside', '.status.loadBalancer.ingress[0].ip'),
      (text) => text !== '',
    )
    expect(balancer).toBe(nodeIP)
    for (const at of [`${nodeIP}:${nodePort}`, `${balancer}:8181`, '203.0.113.7:8181']) {
      await asks(httpGet(at), /^web-[ab]$/)
      await eventually(
        () => onNode(`curl -s -m 3 http://${at}/`),
        (text) => /^web-[ab]$/.test(text),
      )
    }
  })
  test('N2: a node port that a program of the node has stays its own; an event tells it, and when it is served after all', async () => {
    const program = createServer((socket) => socket.end('program'))
    const listening = once(program, 'listening')
    program.listen(30_877, '0.0.0.0')
    await listening
    const reasons = () => get('events', '', '.items[?(@.involvedObject.name=="held")].reason')
    try {
      await service(
        'held',
        'type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http, nodePort: 30877}]',
      )
      await eventually(reasons, (told) => told.includes('FailedToOpenNodePort'))
      expect(await text(connect(30_877, nodeIP))).toBe('program')
      await asks(httpGet('held'), /^web-[ab]$/)
    } finally {
      program.close()
    }
    await eventually(reasons, (told) => told.includes('NodePortOpened'))
    await eventually(
      () => onNode(`curl -s -m 3 http://${nodeIP}:30877/`),
      (text) => /^web-[ab]$/.test(text),
    )
  })
  test('N2: local traffic: the health check node port says where the endpoints are, and without one nothing answers', async () => {
    await service(
      'local',
      'type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: web, only: local}, ports: [{port: 8282, targetPort: http}]',
    )
    const port = await eventually(
      () => get('service', 'local', '.spec.healthCheckNodePort'),
      (text) => text !== '',
    )
    const health = (wanted: RegExp) =>
      eventually(
        () => onNode(`curl -s -m 3 -w ' %{http_code}' http://${nodeIP}:${port}/healthz`),
        (text) => wanted.test(text),
      )
    await health(/"localEndpoints": ?0[\s\S]* 503$/)
    expect(onNode(`curl -s -m 2 -o /dev/null -w '%{http_code}' http://${nodeIP}:8282/`)).toBe('000')
    await k.ok(['label', 'pod', 'web-a', 'only=local'])
    await health(/"localEndpoints": ?1[\s\S]* 200$/)
    await eventually(
      () => onNode(`curl -s -m 3 http://${nodeIP}:8282/`),
      (text) => text === 'web-a',
    )
    await k.ok(['label', 'pod', 'web-a', 'only-'])
  })
  test('N2: another range gives addresses; one that meets the pods gives none and says so; a lost IPAddress returns', async () => {
    const range = (name: string, cidr: string) =>
      k.apply(
        `apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: ${name}}\nspec: {cidrs: [${cidr}]}\n`,
      )
    const ready = (name: string, wanted: string) =>
      eventually(
        () => get('servicecidr', name, '.status.conditions[0].status} {.status.conditions[0].reason'),
        (text) => text === wanted,
      )
    await range('more', '198.18.77.0/28')
    await ready('more', 'True')
    await service('elsewhere', `clusterIP: 198.18.77.5, selector: {app: web}, ${ports}`)
    await asks(httpGet('198.18.77.5'), /^web-[ab]$/)
    await k.ok(['delete', 'ipaddress', '198.18.77.5'])
    await eventually(
      () => get('ipaddress', '198.18.77.5', '.spec.parentRef.name'),
      (text) => text === 'elsewhere',
    )
    await range('meets', `${ip['web-a']}/32`)
    await ready('meets', 'False OverlapsPods')
    await k.ok(['delete', 'servicecidr', 'meets'])
    await k.ok(['delete', 'service', 'elsewhere'])
    await k.ok(['delete', 'servicecidr', 'more'])
  })
  test('N2: client affinity keeps a client on one pod', async () => {
    await service('sticky', `selector: {app: web}, sessionAffinity: ClientIP, ports: [{port: 80, targetPort: http}]`)
    await asks(httpGet('sticky'), /^web-[ab]$/)
    const seen = await inPod(k, 'client', `for i in 1 2 3 4 5 6 7 8 9 10; do ${httpGet('sticky')}; done | sort -u`)
    expect(seen).toMatch(/^web-[ab]$/)
  })
  test('N2: UDP flows leave a pod that is gone', async () => {
    await k.apply(server('udp-1').replace('app: web', 'app: udp'))
    await k.ready('udp-1')
    await service('udp', `selector: {app: udp}, ports: [{port: 90, targetPort: udp, protocol: UDP}]`)
    const ask = `echo x | timeout 3 socat -t2 - UDP:udp:90,sourceport=33000`
    await asks(ask, 'udp-1')
    await k.apply(server('udp-2').replace('app: web', 'app: udp'))
    await k.ready('udp-2')
    await k.ok(['delete', 'pod', 'udp-1'])
    await asks(ask, 'udp-2')
  })
  test('N3: endpoints follow readiness, and manual Endpoints are mirrored', async () => {
    await inPod(k, 'web-b', 'rm /tmp/ready')
    const ready = () => get('endpoints', 'web', '.subsets[0].addresses[*].ip')
    await eventually(ready, (text) => text === ip['web-a'])
    const slices = await k.ok(['get', 'endpointslices', '-l', 'kubernetes.io/service-name=web', '-o', 'json'])
    const { items } = JSON.parse(slices) as {
      items: { endpoints: { addresses: string[]; conditions: { ready: boolean } }[] }[]
    }
    const states = Object.fromEntries(
      items.flatMap((s) => s.endpoints).map((e) => [e.addresses[0] ?? '', e.conditions.ready]),
    )
    expect(states).toEqual({ [ip['web-a'] ?? '']: true, [ip['web-b'] ?? '']: false })
    await service('eager', `selector: {app: web}, publishNotReadyAddresses: true, clusterIP: None, ports: [{port: 80}]`)
    await eventually(
      () => get('endpoints', 'eager', '.subsets[0].addresses[*].ip'),
      (text) => text.split(' ').length === 2,
    )
    await inPod(k, 'web-b', 'touch /tmp/ready')
    await eventually(ready, (text) => text.split(' ').length === 2)
    await service('manual', `ports: [{port: 80, targetPort: 8080}]`)
    await k.apply(
      `apiVersion: v1\nkind: Endpoints\nmetadata: {name: manual}\nsubsets: [{addresses: [{ip: ${ip['web-a']}}], ports: [{port: 8080}]}]\n`,
    )
    await asks(httpGet('manual'), 'web-a')
    expect(await k.ok(['get', 'endpointslices', '-l', 'kubernetes.io/service-name=manual', '-o', 'name'])).toContain(
      'manual-',
    )
  })
  test('N4: names of services, pods, ports, aliases and addresses', async () => {
    await service('heads', `selector: {app: web}, clusterIP: None, ports: [{name: http, port: 8080}]`)
    await k.apply(server('named', { labels: 'kind: extra', spec: 'hostname: first\n  subdomain: heads' }))
    const named = (await k.ready('named')).status.podIP ?? ''
    await service('alias', `type: ExternalName, externalName: web.default.svc.cluster.local`)
    const look = (type: string, name: string) => `nslookup -type=${type} ${name}`
    const clusterIP = await get('service', 'web', '.spec.clusterIP')
    await asks(look('a', 'web.default.svc.cluster.local'), new RegExp(`Address: ${clusterIP}`))
    await asks(look('a', 'heads.default.svc.cluster.local'), new RegExp(`Address: ${named}`))
    await asks(look('a', 'first.heads.default.svc.cluster.local'), new RegExp(`Address: ${named}`))
    await asks(look('srv', '_http._tcp.heads.default.svc.cluster.local'), /8080 first\.heads\.default/)
    await asks(look('a', `${named.replaceAll('.', '-')}.default.pod.cluster.local`), new RegExp(`Address: ${named}`))
    await asks(`nslookup ${clusterIP}`, /name = web\.default\.svc\.cluster\.local/)
    await asks(look('a', 'alias.default.svc.cluster.local'), new RegExp(`Address: ${clusterIP}`))
    await asks(look('a', 'nothing.default.svc.cluster.local'), /NXDOMAIN/)
    await asks(httpGet('web.default'), /./)
    await asks(httpGet('first.heads:8080'), 'first')
    await k.ok(['delete', 'pod', 'named'])
    await asks(look('a', 'first.heads.default.svc.cluster.local'), /NXDOMAIN/)
  })
  test('N5: the kubernetes Service with a token of the pod; proxy verbs to pods, services and nodes', async () => {
    const token = '$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)'
    const request = `GET /version HTTP/1.1\\r\\nHost: kubernetes.default.svc\\r\\nAuthorization: Bearer ${token}\\r\\nConnection: close\\r\\n\\r\\n`
    const ca = '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt'
    await asks(
      `printf "${request}" | timeout 5 socat -t3 - OPENSSL:kubernetes.default.svc:443,cafile=${ca}`,
      /"gitVersion": ?"v1/,
    )
    const raw = (path: string) => k.ok(['get', '--raw', path])
    expect((await raw('/api/v1/namespaces/default/pods/web-a:8080/proxy/index.html')).trim()).toBe('web-a')
    expect(await raw('/api/v1/namespaces/default/services/web:http/proxy/')).toMatch(/^web-[ab]/)
    expect(await raw('/api/v1/namespaces/default/services/http:web:80/proxy/index.html')).toMatch(/^web-[ab]/)
    const missing = await k.run(['get', '--raw', '/api/v1/namespaces/default/services/nothing/proxy/'])
    expect(missing.stderr).toContain('not found')
    const node = await get('node', '', '.items[0].metadata.name')
    expect(await raw(`/api/v1/nodes/${node}/proxy/healthz`)).toBe('ok')
  })
  test('N5: proxied bodies pass through as they come, however large, and so do connections that leave HTTP', async () => {
    const MiB = 1 << 20
    const size = 200 * MiB
    const script = (path: string, ...lines: readonly string[]) =>
      k.ok(
        ['exec', '-i', 'web-a', '--', 'sh', '-c', `cat > ${path}; chmod +x ${path}`],
        `#!/bin/sh\n${lines.join('\n')}\n`,
      )
    await inPod(k, 'web-a', `mkdir -p /tmp/www/cgi-bin; truncate -s ${size} /tmp/www/big`)
    await script('/tmp/www/cgi-bin/count', String.raw`printf 'Content-Type: text/plain\r\n\r\n'`, 'wc -c')
    await script(
      '/tmp/echo',
      'while read -r line; do [ "${#line}" -le 1 ] && break; done',
      String.raw`printf 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'`,
      'exec cat',
    )
    await inPod(k, 'web-a', 'socat TCP-LISTEN:9002,fork,reuseaddr EXEC:/tmp/echo >/dev/null 2>&1 &')
    const folder = k.env['KUBECONFIG']?.replace(/\/kubeconfig$/, '') ?? ''
    const { pid } = JSON.parse(readFileSync(`${folder}/cox.json`, 'utf8')) as { pid: number }
    const memory = (field: string) =>
      Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
    // The peak begins anew.
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
    const before = memory('VmRSS')
    const proxy = spawn(kubectlFile, ['proxy', '--port=0'], { env: { ...process.env, ...k.env } })
    try {
      const said = await new Promise<string>((done) => proxy.stdout.once('data', (text: Buffer) => done(String(text))))
      const port = /:(\d+)/.exec(said)?.[1] ?? ''
      const pod = (number: number) => `/api/v1/namespaces/default/pods/web-a:${number}/proxy`
      expect(onNode(`curl -s http://127.0.0.1:${port}${pod(8080)}/big | wc -c`)).toBe(String(size))
      const send = `truncate -s ${size} ${folder}/big; curl -s -X POST -T ${folder}/big`
      expect(onNode(`${send} http://127.0.0.1:${port}${pod(8080)}/cgi-bin/count`)).toBe(String(size))
      expect(memory('VmHWM') - before).toBeLessThan(size)
      const sent = randomBytes(MiB)
      const headers = { connection: 'Upgrade', upgrade: 'websocket' }
      const asked = http.get({ port: Number(port), path: `${pod(9002)}/`, headers })
      const [, socket] = (await once(asked, 'upgrade')) as [unknown, Socket]
      socket.write(sent)
      const back: Buffer[] = []
      let left = MiB
      for await (const chunk of socket) {
        back.push(chunk as Buffer)
        left -= (chunk as Buffer).length
        if (left <= 0) break
      }
      expect(Buffer.concat(back).equals(sent)).toBe(true)
    } finally {
      proxy.kill()
    }
  })
})
