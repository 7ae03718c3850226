// What happened while cox was away: a pod whose object went is stopped when it comes back, the others are the same ones. And
// a socket on the loopback device alone does not keep pods from the API.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Pod } from '../../src/api/core/pod.ts'
import { findProcesses } from '../../src/host/containerd/processes.ts'
import { systemClock } from '../../src/host/system.ts'
import { openLmdbStore } from '../../src/store/lmdb.ts'
import { dockerArchive } from '../images/archive.ts'
import { busyboxEntries } from '../images/busybox.ts'
import { programEntries, withPackages } from '../images/packages.ts'
import { testCluster } from './cox.ts'

const cluster = testCluster('away')
const folder = mkdtempSync(join(tmpdir(), 'cox-away-'))
const up = ['up', '--detach', '--yes', '--listen', '127.0.0.1:0']
const ok = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await cluster.run(args)
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) })
  return stdout
}
beforeAll(async () => {
  const archive = await withPackages(['curl', 'libcurl4'], async (root) =>
    dockerArchive(
      ['docker.io/library/curl:latest'],
      [...(await busyboxEntries()), ...programEntries(root, ['usr/bin/curl'])],
      {},
    ),
  )
  writeFileSync(join(folder, 'curl.tar'), archive)
  await ok(...up)
  await ok('image', 'load', join(folder, 'curl.tar'))
})
afterAll(async () => {
  await cluster.remove()
  rmSync(folder, { recursive: true })
})

async function runPod(name: string, command: readonly string[]): Promise<void> {
  const container = { name: 'main', image: 'curl', imagePullPolicy: 'IfNotPresent', command }
  const spec = { terminationGracePeriodSeconds: 1, restartPolicy: 'Never', containers: [container] }
  const path = join(folder, `${name}.json`)
  writeFileSync(path, JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec }))
  await ok('apply', '-f', path)
}
const pod = async (name: string) => JSON.parse(await ok('get', 'pod', name, '-o', 'json')) as Pod
const isRunning = async (name: string) => (await pod(name)).status.containerStatuses?.[0]?.ready === true
const idOf = async (name: string) => (await pod(name)).status.containerStatuses?.[0]?.containerID
/** The processes of a pod are found by the word that its command line ends with. */
const processesOf = (name: string) => findProcesses((args) => args.includes(`${cluster.dataDir}/${name}`))
const sleeps = (name: string) => ['sh', '-c', 'trap exit TERM; sleep 100000 & wait', `${cluster.dataDir}/${name}`]

describe('a cluster that was away', () => {
  test('stops a pod whose object is gone, and keeps the others', async () => {
    const names = ['stays-1', 'goes', 'stays-2']
    for (const name of names) await runPod(name, sleeps(name))
    for (const name of names) await expect.poll(() => isRunning(name), { timeout: 60_000 }).toBe(true)
    const before = [await idOf('stays-1'), await idOf('stays-2')]
    const processes = [...processesOf('stays-1'), ...processesOf('stays-2')]
    await ok('down', '--keep-pods')
    expect(processesOf('goes')).toHaveLength(1)

    const store = await openLmdbStore({ directory: join(cluster.dataDir, 'store'), clock: systemClock })
    const { ok: deleted } = await store.txn([], [{ type: 'delete', key: '/registry/pods/default/goes' }])
    expect(deleted).toBe(true)
    await store.close()

    await ok(...up)
    await expect.poll(() => processesOf('goes'), { timeout: 60_000 }).toEqual([])
    expect((await cluster.run(['get', 'pod', 'goes'])).stderr).toContain('pods "goes" not found')
    for (const name of ['stays-1', 'stays-2']) await expect.poll(() => isRunning(name), { timeout: 60_000 }).toBe(true)
    expect([await idOf('stays-1'), await idOf('stays-2')]).toEqual(before)
    expect([...processesOf('stays-1'), ...processesOf('stays-2')]).toEqual(processes)
  })
  test('shows pods the API although its socket listens on the loopback device', async () => {
    const at = '/var/run/secrets/kubernetes.io/serviceaccount'
    await runPod('asks', [
      'sh',
      '-c',
      `curl -sS --cacert ${at}/ca.crt -H "Authorization: Bearer $(cat ${at}/token)" https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/version
       curl -sS --cacert ${at}/ca.crt https://kubernetes.default.svc/readyz`,
    ])
    await expect.poll(async () => (await pod('asks')).status.phase, { timeout: 60_000 }).toBe('Succeeded')
    const said = await ok('logs', 'asks')
    expect(said).toContain('"gitVersion"')
    expect(said.endsWith('ok')).toBe(true)
  })
})
