// N6 and P21 on real pods: Ingress and NetworkPolicy without installing anything, and shaped traffic.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Kubectl } from '../kubectl/cluster.ts'
import { able } from '../kubectl/binary.ts'
import { client, eventually, httpGet, inPod, networkCluster, onNode, server, udpAsk } from './network.ts'

const service = (name: string, app: string) => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {selector: {app: ${app}}, ports: [{name: http, port: 80, targetPort: http}]}
`

describe.runIf(able)('from outside and between pods', () => {
  let k: Kubectl
  let folder = ''
  let ports: { http: number; https: number }
  const ip: Record<string, string> = {}
  beforeAll(async () => {
    k = await networkCluster('edge')
    const pods = ['one', 'two'].map((name) => server(name).replace('app: web', `app: ${name}`))
    await k.apply(
      [
        ...pods,
        client('friend', 'friend: "yes"'),
        client('stranger'),
        service('one', 'one'),
        service('two', 'two'),
      ].join('---\n'),
    )
    for (const name of ['one', 'two', 'friend', 'stranger'])
      ip[name] = (await k.ready(name, 120_000)).status.podIP ?? ''
    folder = mkdtempSync(join(tmpdir(), 'cox-tls-'))
  }, 600_000)
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true })
    await k?.remove()
  })

  const curl = (host: string, path = '/', more = '') =>
    onNode(`curl -s -m 5 ${more} -H 'Host: ${host}' http://127.0.0.1:${ports.http}${path}`)
  const certificate = (name: string) => {
    const files = [join(folder, `${name}.key`), join(folder, `${name}.crt`)] as const
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', `/CN=${name}`]
    execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', files[0], '-out', files[1]], { stdio: 'ignore' })
    return files
  }
  const subject = (serverName: string) =>
    onNode(
      `openssl s_client -connect 127.0.0.1:${ports.https} -servername ${serverName} </dev/null 2>/dev/null | openssl x509 -noout -subject`,
    )

  test('N6: an Ingress leads by host and path, and says where it is served', async () => {
    await k.apply(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: sites}
spec:
  rules:
  - host: one.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: one, port: {number: 80}}}}
      - {path: /index.html, pathType: Exact, backend: {service: {name: two, port: {name: http}}}}
  - host: "*.wild.example"
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: two, port: {number: 80}}}}]}
  - host: gone.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: gone, port: {number: 80}}}}]}
`)
    const nodes = async () =>
      k.ok(['get', 'nodes', '-o', 'jsonpath={.items[0].metadata.annotations.ingress\\.coxswain\\.io/ports}'])
    ports = JSON.parse(await eventually(nodes, (text) => text.startsWith('{'))) as typeof ports
    expect(await k.ok(['get', 'ingress', 'sites', '-o', 'jsonpath={.spec.ingressClassName}'])).toBe('coxswain')
    await eventually(
      () => k.ok(['get', 'ingress', 'sites', '-o', 'jsonpath={.status.loadBalancer.ingress[0].ip}']),
      (text) => text !== '',
    )
    await eventually(
      () => curl('one.example'),
      (text) => text === 'one',
    )
    expect(curl('one.example', '/index.html')).toBe('two')
    expect(curl('a.wild.example')).toBe('two')
    expect(curl('b.a.wild.example')).toContain('404')
    expect(curl('unknown.example')).toContain('404')
    expect(curl('gone.example', '/', "-o /dev/null -w '%{http_code}'")).toBe('503')
    expect(await k.events('sites')).toEqual(['RejectedBackend: service "gone" not found'])
  })
  test('N6: TLS by server name from Secrets, renewed while it serves', async () => {
    const [key, crt] = certificate('first')
    await k.ok(['create', 'secret', 'tls', 'site', `--key=${key}`, `--cert=${crt}`])
    await k.ok([
      'patch',
      'ingress',
      'sites',
      '--type=merge',
      '-p',
      '{"spec":{"tls":[{"hosts":["one.example"],"secretName":"site"}]}}',
    ])
    await eventually(
      () => subject('one.example'),
      (text) => /CN ?= ?first/.test(text),
    )
    const https = `curl -sk -m 5 --resolve one.example:${ports.https}:127.0.0.1 https://one.example:${ports.https}/`
    expect(onNode(https)).toBe('one')
    expect(onNode(`${https} --http2 -o /dev/null -w '%{http_version}'`)).toBe('2')
    const [key2, crt2] = certificate('second')
    const renewed = await k.ok([
      'create',
      'secret',
      'tls',
      'site',
      `--key=${key2}`,
      `--cert=${crt2}`,
      '--dry-run=client',
      '-o',
      'yaml',
    ])
    await k.ok(['apply', '-f', '-'], renewed)
    await eventually(
      () => subject('one.example'),
      (text) => /CN ?= ?second/.test(text),
    )
    expect(subject('other.example')).not.toMatch(/first|second/)
  })
  test('N6: no Ingress, no port', async () => {
    await k.ok(['delete', 'ingress', 'sites'])
    await eventually(
      () => onNode(`curl -s -m 2 -o /dev/null -w '%{http_code}' http://127.0.0.1:${ports.http}/`),
      (text) => text.startsWith('000'),
    )
  })

  const policy = (name: string, spec: string) =>
    k.apply(`apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}}\nspec: ${spec}\n`)
  const reaches = (from: string, wanted: boolean, to = 'one') =>
    eventually(
      () => inPod(k, from, httpGet(`${ip[to]}:8080`, '/', 2)),
      (text) => (text === to) === wanted,
    )

  test('N6: ingress by pods and ports', async () => {
    await reaches('stranger', true)
    await policy(
      'only-friends',
      '{podSelector: {matchLabels: {app: one}}, ingress: [{from: [{podSelector: {matchLabels: {friend: "yes"}}}], ports: [{port: http}]}]}',
    )
    await reaches('stranger', false)
    await reaches('friend', true)
    await reaches('stranger', true, 'two')
    expect(await inPod(k, 'friend', udpAsk(ip['one'] ?? '', 9000))).not.toBe('one')
    expect(await inPod(k, 'friend', httpGet('one'))).toBe('one')
    await k.ok(['label', 'pod', 'stranger', 'friend=yes'])
    await reaches('stranger', true)
    await k.ok(['label', 'pod', 'stranger', 'friend-'])
    await reaches('stranger', false)
    await policy(
      'only-friends',
      `{podSelector: {matchLabels: {app: one}}, ingress: [{ports: [{port: 8000, endPort: 8999}]}]}`,
    )
    await reaches('stranger', true)
    await k.ok(['delete', 'networkpolicy', 'only-friends'])
    expect(await inPod(k, 'friend', udpAsk(ip['one'] ?? '', 9000))).toBe('one')
  })
  test('N6: egress by block with exceptions, by namespace, and to names', async () => {
    await policy(
      'to-two',
      `{podSelector: {matchLabels: {role: client}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [${ip['one']}/32]}}]}]}`,
    )
    await reaches('friend', false)
    await reaches('friend', true, 'two')
    await policy(
      'to-two',
      `{podSelector: {matchLabels: {role: client}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}}]}]}`,
    )
    await reaches('friend', true)
    await policy('to-two', '{podSelector: {matchLabels: {role: client}}, policyTypes: [Egress], egress: []}')
    await reaches('friend', false)
    await reaches('one', true, 'two')
    await k.ok(['delete', 'networkpolicy', 'to-two'])
    await reaches('friend', true)
  })

  test('P21: bandwidth annotations shape both directions', async () => {
    const metadata =
      'metadata: {annotations: {kubernetes.io/ingress-bandwidth: 8M, kubernetes.io/egress-bandwidth: 8M}, name:'
    await k.apply(server('slow').replace('metadata: {name:', metadata).replace('app: web', 'app: slow'))
    const slow = (await k.ready('slow')).status.podIP ?? ''
    // 48 Mbit take six seconds; nothing passes unshaped before.
    const blob = 'dd if=/dev/zero of=/tmp/www/blob bs=1M count=0 seek=6 2>/dev/null'
    await inPod(k, 'slow', blob)
    const seconds = async (from: string, url: string) => {
      const began = Date.now()
      await inPod(k, from, `wget -qO /dev/null http://${url}`)
      return (Date.now() - began) / 1000
    }
    expect(await seconds('friend', `${slow}:8080/blob`)).toBeGreaterThan(3)
    await inPod(k, 'one', blob)
    expect(await seconds('slow', `${ip['one']}:8080/blob`)).toBeGreaterThan(3)
  })
})
