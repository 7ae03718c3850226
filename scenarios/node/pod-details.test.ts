// The finer print of a Pod on real containers: units of resources, hooks, grace of probes, names, the whole downward API,
// runtime classes, bandwidth, ConfigMaps and Secrets to the last mode bit.
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, type ExpectStatic, it } from 'vitest'
import { type Kubectl, kubectlCluster, restarts } from '../kubectl/cluster.ts'
import { able, kubectlFile } from '../kubectl/binary.ts'
import { podOf } from './pods.ts'

describe.runIf(able).concurrent('the finer print of a pod', () => {
  let k: Kubectl
  let folder: string
  beforeAll(async () => {
    k = await kubectlCluster('details')
    folder = mkdtempSync(join(tmpdir(), 'cox-details-'))
  })
  afterAll(async () => {
    await k?.remove()
    if (folder !== undefined) rmSync(folder, { recursive: true })
  })
  /** A file of a container's cgroup, whichever version the machine has. */
  const cgroupFile = async (pod: string, container: string, v1: string, v2: string) =>
    (await k.sh(pod, `cat /sys/fs/cgroup/${v1} 2>/dev/null || cat /sys/fs/cgroup/${v2}`, container)).trim()

  it('P3: hostname, subdomain and the full name', async ({ expect }) => {
    await k.apply(podOf('named', { c: '' }, 'hostname: web\nsubdomain: sub\nsetHostnameAsFQDN: true'))
    await k.apply(podOf('short', { c: '' }, 'hostname: web\nsubdomain: sub'))
    const named = await k.ready('named')
    await k.ready('short')
    const full = 'web.sub.default.svc.cluster.local'
    expect(await k.sh('named', 'hostname; cat /etc/hosts')).toMatch(
      new RegExp(`^${full}\n[^]*^${named.status.podIP ?? ''}\t${full}\tweb$`, 'm'),
    )
    expect(await k.sh('short', 'hostname')).toBe('web\n')
  })
  it('P7: hooks by http and sleep, and a preStop that is waited for', async ({ expect }) => {
    await k.apply(
      podOf(
        'hooked',
        {
          c: [
            'command: [sh, -c, "mkdir /www; echo ok > /www/started; httpd -p 8080 -h /www; trap \'echo term >> /host/order; exit\' TERM; sleep 100000 & wait"]',
            'ports: [{name: web, containerPort: 8080}]',
            'volumeMounts: [{name: host, mountPath: /host}]',
            'lifecycle:',
            '  postStart: {sleep: {seconds: 1}}',
            '  preStop: {exec: {command: [sh, -c, "sleep 1; echo pre >> /host/order"]}}',
          ].join('\n'),
          web: 'lifecycle: {postStart: {httpGet: {path: /started, port: 8080}}, preStop: {sleep: {seconds: 1}}}',
        },
        `volumes: [{name: host, hostPath: {path: ${folder}}}]`,
      ).replace('terminationGracePeriodSeconds: 2', 'terminationGracePeriodSeconds: 20'),
    )
    await k.ready('hooked')
    const begunMs = Date.now()
    await k.ok(['delete', 'pod', 'hooked'])
    expect(Date.now() - begunMs).toBeGreaterThan(1000)
    expect(readFileSync(join(folder, 'order'), 'utf8')).toBe('pre\nterm\n')
  })
  it('P8: every unit of memory and cpu reaches the cgroup', async ({ expect }) => {
    const memory = { plain: '33554432', k: '40000k', mi: '32Mi', m: '64M', exponent: '5e7', gi: '0.0625Gi' }
    const bytes = [33554432, 40_000_000, 32 * 2 ** 20, 64_000_000, 50_000_000, 64 * 2 ** 20]
    const cpu = { tenth: '0.1', milli: '250m', most: '600m' }
    await k.apply(
      podOf('units', {
        ...Object.fromEntries(Object.entries(memory).map(([n, v]) => [n, `resources: {limits: {memory: "${v}"}}`])),
        ...Object.fromEntries(
          Object.entries(cpu).map(([n, v]) => [n, `resources: {requests: {cpu: "${v}"}, limits: {cpu: "${v}"}}`]),
        ),
      }),
    )
    await k.ready('units')
    const limit = (c: string) => cgroupFile('units', c, 'memory/memory.limit_in_bytes', 'memory.max')
    // The kernel counts in pages.
    expect((await Promise.all(Object.keys(memory).map(limit))).map(Number)).toEqual(
      bytes.map((b) => Math.floor(b / 4096) * 4096),
    )
    const quota = (c: string) => cgroupFile('units', c, 'cpu/cpu.cfs_quota_us', 'cpu.max')
    expect((await Promise.all(Object.keys(cpu).map(quota))).map((text) => Number.parseInt(text, 10))).toEqual([
      10_000, 25_000, 60_000,
    ])
    const shares = (c: string) => cgroupFile('units', c, 'cpu/cpu.shares', 'cpu.weight')
    const [tenth = 0, milli = 0, most = 0] = (await Promise.all(Object.keys(cpu).map(shares))).map(Number)
    expect(tenth).toBeLessThan(milli)
    expect(milli).toBeLessThan(most)
    const odd = await k.run(['apply', '-f', '-'], `---\n${podOf('odd', { c: 'resources: {limits: {memory: "12Q"}}' })}`)
    expect(odd.stderr).toMatch(/quantities must match the regular expression/)
  })
  it('P14: a probe may have a grace of its own', async () => {
    await k.apply(
      podOf('stubborn', {
        c: [
          'command: [sh, -c, "trap : TERM; while true; do sleep 1; done"]',
          'livenessProbe: {exec: {command: ["false"]}, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 1}',
        ].join('\n'),
      }).replace('terminationGracePeriodSeconds: 2', 'terminationGracePeriodSeconds: 600'),
    )
    await k.podIs('stubborn', (p) => restarts(p) > 0)
    await k.ok(['delete', 'pod', 'stubborn', '--grace-period=1'])
  })
  /** An attach whose input stays open until it is ended; `saw` waits until it printed something. */
  const attached = (...args: readonly string[]) => {
    const child = spawn(kubectlFile, ['attach', ...args], { env: { ...process.env, ...k.env }, stdio: 'pipe' })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const ended = new Promise<number | null>((done) => child.on('close', done))
    return {
      type: (text: string) => child.stdin.write(text),
      close: () => child.stdin.end(),
      saw: (what: string, expect: ExpectStatic) =>
        expect.poll(() => output, { timeout: 120_000, interval: 50 }).toContain(what),
      ended,
      async leave() {
        child.kill()
        await ended
      },
    }
  }
  it('P4, P16: attach speaks to the main process: several at once, and whoever comes later', async ({ expect }) => {
    const reads = 'while read line; do echo "got $line"; done; echo over; exec sleep 100000'
    await k.apply(podOf('listens', { c: `stdin: true\ncommand: [sh, -c, '${reads}']` }))
    await k.ready('listens')
    const [one, two] = [attached('-i', 'listens'), attached('-i', 'listens')]
    one.type('first\n')
    await one.saw('got first', expect)
    two.type('second\n')
    // What the process prints goes to both.
    for (const each of [one, two]) await each.saw('got second', expect)
    await one.leave()
    two.type('third\n')
    await two.saw('got third', expect)
    await two.leave()
    const three = attached('-i', 'listens')
    three.type('fourth\n')
    await three.saw('got fourth', expect)
    await three.leave()
    // Input that is not for one attach alone stays open.
    expect(await k.ok(['logs', 'listens'])).toBe('got first\ngot second\ngot third\ngot fourth\n')
    expect(restarts(await k.pod('listens'))).toBe(0)
  })
  it('P4, P16: stdinOnce ends with the first attach; run -i --rm has the exit code', async ({ expect }) => {
    await k.apply(podOf('once', { c: 'stdin: true\nstdinOnce: true\ncommand: [wc, -c]' }, 'restartPolicy: Never'))
    await k.podIs('once', (p) => p.status.phase === 'Running')
    expect(await k.ok(['attach', '-i', 'once'], 'x'.repeat(100_000))).toBe('100000\n')
    await k.podIs('once', (p) => p.status.phase === 'Succeeded')
    const run = ['run', 'asked', '-i', '--rm', '--restart=Never', '--image=busybox', '--image-pull-policy=IfNotPresent']
    const { code, stdout } = await k.run([...run, '--', 'sh', '-c', 'read word; echo "said $word"; exit 5'], 'hello\n')
    expect(stdout).toContain('said hello\n')
    expect(code).toBe(5)
    expect((await k.run(['get', 'pod', 'asked'])).stderr).toContain('NotFound')
  })
  it('P4, P16: attach to a terminal', async ({ expect }) => {
    await k.apply(podOf('terminal', { c: 'stdin: true\ntty: true\ncommand: [sh]' }, 'restartPolicy: Never'))
    await k.podIs('terminal', (p) => p.status.phase === 'Running')
    const line = [kubectlFile, 'attach', '-it', 'terminal'].join(' ')
    const child = spawn('script', ['-qefc', line, '/dev/null'], { env: { ...process.env, ...k.env }, stdio: 'pipe' })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const ended = new Promise<number | null>((done) => child.on('close', done))
    const shows = (what: RegExp) => expect.poll(() => output, { timeout: 120_000 }).toMatch(what)
    await shows(/try pressing enter/)
    child.stdin.write('tty; echo $((6 * 7))\n')
    await shows(/\/dev\/pts\/0\r\n42\r\n/)
    child.stdin.write('exit 3\n')
    await ended
    const { status } = await k.podIs('terminal', (p) => p.status.phase === 'Failed')
    expect(status.containerStatuses?.[0]?.state?.terminated?.exitCode).toBe(3)
  })
  it('P20: every field of the downward API, by environment and by file', async ({ expect }) => {
    const fields = [
      'metadata.name',
      'metadata.namespace',
      'metadata.uid',
      "metadata.labels['app']",
      "metadata.annotations['note']",
      'spec.nodeName',
      'spec.serviceAccountName',
      'status.hostIP',
      'status.hostIPs',
      'status.podIP',
      'status.podIPs',
    ]
    const resources = [
      ['limits.cpu', '1m', '1500'],
      ['limits.cpu', '', '2'],
      ['requests.cpu', '1m', '200'],
      ['limits.memory', '1Mi', '64'],
      ['requests.memory', '1Ki', '32768'],
      ['limits.ephemeral-storage', '1Mi', '100'],
      ['requests.ephemeral-storage', '1Mi', '50'],
    ] as const
    const divisor = (d: string) => (d === '' ? '' : `, divisor: ${d}`)
    const inFiles = ['metadata.name', 'metadata.namespace', 'metadata.uid', 'metadata.labels', 'metadata.annotations']
    const env = [
      ...fields.map((f, i) => `- {name: F${i}, valueFrom: {fieldRef: {fieldPath: "${f}"}}}`),
      ...resources.map(([r, d], i) => `- {name: R${i}, valueFrom: {resourceFieldRef: {resource: ${r}${divisor(d)}}}}`),
    ]
    const items = [
      ...inFiles.map((f) => `{path: ${f}, fieldRef: {fieldPath: ${f}}}`),
      ...resources.map(
        ([r, d], i) => `{path: r${i}, mode: 0400, resourceFieldRef: {containerName: c, resource: ${r}${divisor(d)}}}`,
      ),
      '{path: unset, resourceFieldRef: {containerName: bare, resource: limits.cpu}}',
    ]
    await k.apply(
      podOf(
        'downward',
        {
          c: [
            'resources: {requests: {cpu: 200m, memory: 32Mi, ephemeral-storage: 50Mi}, limits: {cpu: 1500m, memory: 64Mi, ephemeral-storage: 100Mi}}',
            'volumeMounts: [{name: v, mountPath: /v}]',
            'env:',
            ...env,
          ].join('\n'),
          bare: '',
        },
        `volumes: [{name: v, downwardAPI: {items: [${items.join(', ')}]}}]`,
      ).replace('labels: {app: downward}', 'labels: {app: downward, tier: back}, annotations: {note: "two\\nlines"}'),
    )
    const { metadata, spec, status } = await k.ready('downward')
    const environment = await k.sh('downward', fields.map((_, i) => `echo "[$F${i}]"`).join('; '), 'c')
    expect(environment).toBe(
      [
        metadata.name,
        'default',
        metadata.uid,
        'downward',
        'two\nlines',
        spec.nodeName,
        'default',
        status.hostIP,
        status.hostIPs?.map((h) => h.ip).join(','),
        status.podIP,
        status.podIPs?.map((p) => p.ip).join(','),
      ]
        .map((value) => `[${value ?? ''}]\n`)
        .join(''),
    )
    const amounts = resources.map(([, , value]) => value).join(' ')
    expect(await k.sh('downward', `echo ${resources.map((_, i) => `$R${i}`).join(' ')}`, 'c')).toBe(`${amounts}\n`)
    expect(
      await k.sh('downward', `cd /v; echo $(cat ${resources.map((_, i) => `r${i}`).join(' ; echo " " ; cat ')})`, 'c'),
    ).toBe(`${amounts}\n`)
    expect(await k.sh('downward', 'cat /v/metadata.labels', 'c')).toBe('app="downward"\ntier="back"')
    expect(await k.sh('downward', 'cat /v/metadata.annotations', 'c')).toContain('note="two\\nlines"')
    expect(await k.sh('downward', 'stat -Lc %a /v/r0', 'c')).toBe('400\n')
    const cores = JSON.parse(
      await k.ok(['get', 'nodes', '-o', 'jsonpath={.items[0].status.allocatable.cpu}']),
    ) as number
    expect(await k.sh('downward', 'cat /v/unset', 'c')).toBe(String(Math.ceil(cores)))
  })
  it('P21: bandwidth annotations shape what goes in and out', async ({ expect }) => {
    const annotations = 'annotations: {kubernetes.io/ingress-bandwidth: 11M, kubernetes.io/egress-bandwidth: 13M}'
    await k.apply(podOf('shaped', { c: '' }).replace('labels:', `${annotations}, labels:`))
    await k.ready('shaped')
    const disciplines = execFileSync('tc', ['qdisc', 'show'], { encoding: 'utf8' })
    // From the first byte on: the bucket holds a tenth of a second.
    expect(disciplines).toMatch(/tbf .* rate 11Mbit burst 13\d\d\d\db lat 25ms/)
    expect(disciplines).toMatch(/tbf .* rate 13Mbit burst 16\d\d\d\db lat 25ms/)
    const bad = podOf('unshaped', { c: '' }).replace(
      'labels:',
      'annotations: {kubernetes.io/ingress-bandwidth: much}, labels:',
    )
    await k.apply(bad)
    await expect.poll(() => k.events('unshaped')).toContainEqual(expect.stringMatching(/^FailedCreatePodSandBox: /))
  })
  it("P23: the node's time zone, and a runtime class with its overhead", async ({ expect }) => {
    await k.apply(
      'apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: heavy}\nhandler: runc\noverhead: {podFixed: {cpu: 100m, memory: 16Mi}}',
    )
    await k.apply('apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: unknown}\nhandler: nothing')
    await k.apply(
      podOf(
        'classy',
        {
          c: 'resources: {limits: {cpu: 100m, memory: 32Mi}}\nvolumeMounts: [{name: tz, mountPath: /etc/localtime, readOnly: true}]',
        },
        'runtimeClassName: heavy\nvolumes: [{name: tz, hostPath: {path: /etc/localtime}}]',
      ),
    )
    const pod = await k.ready('classy')
    expect(pod.spec.overhead).toEqual({ cpu: '100m', memory: '16Mi' })
    expect(await k.sh('classy', 'date +%z')).toBe(execFileSync('date', ['+%z'], { encoding: 'utf8' }))
    expect(await k.ok(['describe', 'node'])).toMatch(/classy\s+200m \(\d+%\)\s+200m \(\d+%\)\s+48Mi/)
    await k.apply(podOf('classless', { c: '' }, 'runtimeClassName: unknown'))
    await expect
      .poll(() => k.events('classless'))
      .toContainEqual(expect.stringMatching(/^FailedCreatePodSandBox: .*no runtime for "nothing" is configured/))
    const absent = await k.run(['apply', '-f', '-'], `---\n${podOf('absent', { c: '' }, 'runtimeClassName: absent')}`)
    expect(absent.stderr).toContain('pod rejected: RuntimeClass "absent" not found')
  })
  it('C1: keys, modes, optional parts, places inside a volume, and what may not change', async ({ expect }) => {
    await k.apply(
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fixed}\nimmutable: true\ndata: {a: "1", b: "2"}\nbinaryData: {raw: AP8=}',
    )
    await k.apply('apiVersion: v1\nkind: Secret\nmetadata: {name: hidden}\nstringData: {key: secret, other: x}')
    const volumes = [
      'volumes:',
      '- {name: some, configMap: {name: fixed, defaultMode: 0440, items: [{key: a, path: deep/er/a}, {key: b, path: b, mode: 0600}]}}',
      '- {name: all, configMap: {name: fixed}}',
      '- {name: secret, secret: {secretName: hidden, defaultMode: 0400}}',
      '- {name: none, configMap: {name: nowhere, optional: true}}',
    ].join('\n')
    const container = [
      'envFrom: [{configMapRef: {name: fixed}, prefix: CM_}, {secretRef: {name: nowhere, optional: true}}]',
      'env: [{name: KEY, valueFrom: {secretKeyRef: {name: hidden, key: key}}}, {name: SUB, value: er}, {name: NONE, valueFrom: {configMapKeyRef: {name: fixed, key: zzz, optional: true}}}]',
      'volumeMounts:',
      '- {name: some, mountPath: /some}',
      '- {name: all, mountPath: /all}',
      '- {name: secret, mountPath: /secret}',
      '- {name: none, mountPath: /none}',
      '- {name: all, mountPath: /one-file, subPath: raw}',
      '- {name: some, mountPath: /expanded, subPathExpr: deep/$(SUB)}',
    ].join('\n')
    await k.apply(podOf('configured', { c: container }, volumes))
    await k.ready('configured')
    expect(await k.sh('configured', 'cd /some; stat -Lc "%n %a" deep/er/a b; ls /all /none; cat /expanded/a')).toBe(
      'deep/er/a 440\nb 600\n/all:\na\nb\nraw\n\n/none:\n1',
    )
    expect(await k.sh('configured', 'stat -Lc %a /secret/key; od -An -tx1 /one-file')).toMatch(/^400\n\s*00 ff\n$/)
    expect(await k.sh('configured', 'echo $CM_a$CM_b $KEY [$NONE]')).toBe('12 secret []\n')
    expect((await k.run(['patch', 'cm', 'fixed', '-p', '{"data":{"a":"9"}}'])).stderr).toContain(
      'Forbidden: field is immutable when `immutable` is set',
    )
  })
  it('C2: one projected volume of everything, with a trust bundle; C3: its token is bound to the pod', async ({
    expect,
  }) => {
    const pem = readFileSync(join(k.env['KUBECONFIG'] ?? '', '..', 'pki', 'ca.crt'), 'utf8')
    await k.ok(['create', 'configmap', 'part', '--from-literal=c=from-config'])
    await k.ok(['create', 'secret', 'generic', 'part', '--from-literal=s=from-secret'])
    const bundle = {
      apiVersion: 'certificates.k8s.io/v1beta1',
      kind: 'ClusterTrustBundle',
      metadata: { name: 'roots' },
      spec: { trustBundle: pem },
    }
    const hasBundles = (await k.run(['apply', '-f', '-'], JSON.stringify(bundle))).code === 0
    const sources = [
      '{configMap: {name: part}}',
      '{secret: {name: part, items: [{key: s, path: sub/s}]}}',
      '{downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}',
      '{serviceAccountToken: {path: token, audience: vault, expirationSeconds: 600}}',
      ...(hasBundles ? ['{clusterTrustBundle: {name: roots, path: ca.pem}}'] : []),
    ]
    await k.apply(
      podOf(
        'projected',
        { c: 'volumeMounts: [{name: v, mountPath: /v}]' },
        `volumes: [{name: v, projected: {sources: [${sources.join(', ')}]}}]`,
      ),
    )
    const pod = await k.ready('projected')
    expect(await k.sh('projected', 'cd /v; cat c sub/s name')).toBe('from-configfrom-secretprojected')
    if (hasBundles) expect((await k.sh('projected', 'cat /v/ca.pem')).trim()).toBe(pem.trim())
    const token = await k.sh('projected', 'cat /v/token')
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      aud: string[]
      exp: number
      iat: number
      'kubernetes.io': { pod: { uid: string } }
    }
    expect(claims).toMatchObject({ aud: ['vault'], 'kubernetes.io': { pod: { uid: pod.metadata.uid } } })
    expect(claims.exp - claims.iat).toBe(600)
    const review = async () => {
      const object = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences: ['vault'] },
      }
      const answer = await k.ok(['create', '-f', '-', '-o', 'json'], JSON.stringify(object))
      return (JSON.parse(answer) as { status: { authenticated?: boolean } }).status.authenticated === true
    }
    expect(await review()).toBe(true)
    await k.ok(['delete', 'pod', 'projected'])
    expect(await review()).toBe(false)
  })
})
