// A real node is born with a wall clock that is hours ahead, starts again with the right one, has it set back while its
// containers run, starts in 1970 and has it set right: no container is restarted or run twice for it, new ones start as ever,
// probes go on, certificates and the tokens that the new time makes useless are replaced. The runtime's own clock stays
// right, so its times are hours off too.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { leases } from '../../src/api/coordination/lease.ts'
import { configMaps } from '../../src/api/core/config-map.ts'
import { nodes } from '../../src/api/core/node.ts'
import { type Pod, pods } from '../../src/api/core/pod.ts'
import type { Client } from '../../src/client/client.ts'
import { createHttpTransport } from '../../src/host/http-transport.ts'
import { clientOf, serverOf } from '../cli/client.ts'
import { type TestCluster, testCluster } from '../cli/cox.ts'
import { busyboxArchive } from '../images/busybox.ts'
import { isReady } from '../kubectl/cluster.ts'
import { able } from '../kubectl/binary.ts'

const hourMs = 3_600_000
const container = (script: string, more: object = {}) => ({
  name: 'c',
  image: 'busybox',
  imagePullPolicy: 'IfNotPresent',
  command: ['sh', '-c', script],
  ...more,
})
const restartsOf = (pod: Pod) => pod.status.containerStatuses?.[0]?.restartCount ?? 0

describe.runIf(able)('a wall clock that is set', () => {
  let cluster: TestCluster
  let client: Client
  let clockFile: string
  let runs: string
  const poll = <T>(check: () => Promise<T>) => expect.poll(check, { timeout: 120_000, interval: 200 })
  const pod = (name: string) => client.resource(pods).get(name, 'default')
  const create = (name: string, spec: object) =>
    client.resource(pods).create({ metadata: { name, namespace: 'default' }, spec } as never)
  const sh = async (name: string, line: string) => {
    const { code, stdout, stderr } = await cluster.run(['exec', name, '--', 'sh', '-c', line])
    expect(code, stderr).toBe(0)
    return stdout
  }
  const setClock = (byMs: number) => {
    writeFileSync(`${clockFile}.new`, String(byMs))
    renameSync(`${clockFile}.new`, clockFile)
  }
  const up = async () => {
    const env = { NODE_OPTIONS: `--import=${resolve('scenarios/node/shifted-clock.mjs')}`, WALL_CLOCK_FILE: clockFile }
    const { code, stderr } = await cluster.run(['up', '--detach', '--yes', '--listen', '127.0.0.1:0'], { env })
    expect(code, stderr).toBe(0)
    client = clientOf(cluster.dataDir)
  }
  /** Whether the API takes the token that stands in the pod's volume. */
  const tokenIsGood = async (name: string) => {
    const token = await sh(name, 'cat /var/run/secrets/kubernetes.io/serviceaccount/token')
    const { url, ca } = serverOf(cluster.dataDir)
    const transport = createHttpTransport({ url, ca, token: () => token })
    const { status } = await transport.send({ method: 'GET', path: '/api', headers: {} })
    transport.close?.()
    return status
  }

  beforeAll(async () => {
    cluster = testCluster('clock')
    clockFile = join(cluster.dataDir, 'wall-clock')
    runs = join(cluster.dataDir, 'runs')
    setClock(9 * hourMs)
    mkdirSync(runs)
    await up()
    const archive = join(cluster.dataDir, 'busybox.tar')
    writeFileSync(archive, await busyboxArchive())
    expect((await cluster.run(['image', 'load', archive])).code).toBe(0)
    const probe = { exec: { command: ['test', '-e', '/ok'] }, periodSeconds: 1, failureThreshold: 1 }
    const probes = { readinessProbe: probe, livenessProbe: { exec: { command: ['true'] }, initialDelaySeconds: 3 } }
    await create('steady', { containers: [container('touch /ok; trap exit TERM; sleep 100000 & wait', probes)] })
  })
  afterAll(() => cluster?.remove())

  it.each([
    ['at a start', 'right', 0],
    ['meanwhile', 'back', -7 * hourMs],
    ['at a start', 'seventies', 30 * 24 * hourMs - Date.now()],
    ['meanwhile', 'forth', 0],
  ])('set %s, %s: what runs goes on, and what is new starts', async (when, word, shiftMs) => {
    await poll(async () => isReady(await pod('steady'))).toBe(true)
    const crash = `crash-${word}`
    await create(crash, { containers: [container('exit 1')] })
    await poll(async () => restartsOf(await pod(crash))).toBeGreaterThan(0)
    const crashes = restartsOf(await pod(crash))
    const { containerID } = (await pod('steady')).status.containerStatuses?.[0] ?? {}
    if (when === 'meanwhile') setClock(shiftMs)
    else {
      await cluster.kill()
      setClock(shiftMs)
      await up()
    }
    await poll(async () => {
      const metadata = { name: 'clock', namespace: 'default' }
      const made = await client.resource(configMaps).create({ metadata }, { dryRun: true })
      return Math.abs(Date.parse(made.metadata.creationTimestamp ?? '') - Date.now() - shiftMs)
    }).toBeLessThan(60_000)
    const beganMs = Date.now()
    await create(`new-${word}`, {
      restartPolicy: 'Never',
      volumes: [{ name: 'runs', hostPath: { path: runs } }],
      containers: [
        container(`echo $HOSTNAME >>/runs/all; sleep 1`, { volumeMounts: [{ name: 'runs', mountPath: '/runs' }] }),
      ],
    })
    await poll(async () => (await pod(`new-${word}`)).status.phase).toBe('Succeeded')
    const created = Date.parse((await pod(`new-${word}`)).metadata.creationTimestamp ?? '')
    expect(Math.abs(created - beganMs - shiftMs)).toBeLessThan(60_000)
    await sh('steady', 'rm /ok')
    await poll(async () => isReady(await pod('steady'))).toBe(false)
    await sh('steady', 'touch /ok')
    await poll(async () => isReady(await pod('steady'))).toBe(true)
    await poll(() => tokenIsGood('steady')).toBe(200)
    await poll(async () => restartsOf(await pod(crash))).toBeGreaterThan(crashes)
    // A lease is renewed every ten seconds: what is read first may be of the time before.
    await poll(async () => {
      const lease = await client.resource(leases).list({ namespace: 'kube-node-lease' })
      const renewed = Date.parse(lease.items[0]?.spec.renewTime ?? '')
      return Math.abs(renewed - Date.now() - shiftMs)
    }).toBeLessThan(60_000)
    const [node] = (await client.resource(nodes).list()).items
    expect(node?.status.conditions?.find((c) => c.type === 'Ready')?.status).toBe('True')
    expect(node?.spec.taints ?? []).toEqual([])
    const deletedMs = Date.now()
    await client.resource(pods).delete(crash, 'default')
    await client.resource(pods).delete(`new-${word}`, 'default')
    await poll(async () => client.resource(pods).find(`new-${word}`, 'default')).toBeUndefined()
    expect(Date.now() - deletedMs).toBeLessThan(60_000)
    expect((await pod('steady')).status.containerStatuses?.[0]).toMatchObject({ restartCount: 0, containerID })
    expect(
      readFileSync(join(runs, 'all'), 'utf8')
        .split('\n')
        .filter((name) => name === `new-${word}`),
    ).toHaveLength(1)
  })
})
