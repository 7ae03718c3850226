// W1: rolling updates of ReplicationControllers, on simulated containers: by image, by file, interrupted and resumed, and
// taken back. That the bounds hold at every step is tested beside the plan.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Pod } from '../../src/api/core/pod.ts'
import type { ReplicationController } from '../../src/api/core/replication-controller.ts'
import { spawned } from '../kubectl/cluster.ts'
import { type TestCluster, testCluster } from './cox.ts'
import { kubectlFile } from '../kubectl/binary.ts'

let cluster: TestCluster
let env: Record<string, string>
beforeAll(async () => {
  cluster = testCluster('rolling')
  const { code, stderr } = await cluster.run(['up', '--detach', '--yes', '--runtime', 'sim', '--listen', '127.0.0.1:0'])
  expect(code, stderr).toBe(0)
  env = { KUBECONFIG: join(cluster.dataDir, 'kubeconfig') }
}, 120_000)
afterAll(() => cluster.remove())

async function kubectl(args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await spawned(kubectlFile, args, env, input)
  if (code !== 0) throw new Error(stderr)
  return stdout
}
const controller = (name: string, image: string, labels: object, replicas?: number) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'ReplicationController',
    metadata: { name },
    spec: {
      ...(replicas === undefined ? {} : { replicas }),
      selector: labels,
      template: {
        metadata: { labels },
        spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'main', image }] },
      },
    },
  })
const controllers = async () =>
  (JSON.parse(await kubectl(['get', 'rc', '-o', 'json'])) as { items: ReplicationController[] }).items
const imagesOf = async (selector: string) =>
  (JSON.parse(await kubectl(['get', 'pods', '-l', selector, '-o', 'json'])) as { items: Pod[] }).items
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ spec }) => spec.containers[0]?.image)
async function start(name: string, replicas: number): Promise<void> {
  await kubectl(['apply', '-f', '-'], controller(name, 'server:1', { app: name, version: '1' }, replicas))
  await kubectl(['wait', `rc/${name}`, '--for', `jsonpath={.status.readyReplicas}=${replicas}`, '--timeout=60s'])
}
const update = (...args: string[]) => cluster.run(['rolling-update', '--update-period=0s', ...args])

test('by --image: old kubectl’s words, one new pod before each old one goes, and the name stays', async () => {
  await start('web', 3)
  const { code, stdout, stderr } = await update('web', '--image=server:2')
  expect(code, stderr).toBe(0)
  const name = /^Created (web-[0-9a-f]{32})$/m.exec(stdout)?.[1] ?? ''
  expect(stdout.split('\n')).toEqual([
    `Created ${name}`,
    `Scaling up ${name} from 0 to 3, scaling down web from 3 to 0 (keep 3 pods available, don't exceed 4 pods)`,
    `Scaling ${name} up to 1`,
    'Scaling web down to 2',
    `Scaling ${name} up to 2`,
    'Scaling web down to 1',
    `Scaling ${name} up to 3`,
    'Scaling web down to 0',
    'Update succeeded. Deleting old controller: web',
    `Renaming ${name} to web`,
    'replicationcontroller "web" rolling updated',
    '',
  ])
  const found = await controllers()
  expect(found.map(({ metadata }) => metadata.name)).toEqual(['web'])
  expect(
    Object.keys(found[0]?.metadata.annotations ?? {}).filter((key) =>
      /-replicas|partner|controller-id|adopted/.test(key),
    ),
  ).toEqual([])
  await kubectl(['wait', 'rc/web', '--for', 'jsonpath={.status.readyReplicas}=3', '--timeout=60s'])
  expect(await imagesOf('app=web')).toEqual(['server:2', 'server:2', 'server:2'])
})

test('by file; a file that would fight with the old controller is refused', async () => {
  await start('files', 2)
  const file = join(cluster.dataDir, 'next.json')
  writeFileSync(file, controller('files', 'server:2', { app: 'files', version: '2' }))
  expect(await update('files', '-f', file)).toMatchObject({
    code: 1,
    stderr: `cox: ${file} cannot have the same name as the existing ReplicationController files\n`,
  })
  writeFileSync(file, controller('files-v2', 'server:2', { app: 'files', version: '1' }))
  expect((await update('files', '-f', file)).stderr).toBe(
    `cox: ${file} must specify a matching key with non-equal value in Selector for files\n`,
  )
  writeFileSync(file, controller('files-v2', 'server:2', { app: 'files', version: '2' }))
  const { code, stdout, stderr } = await update('files', '-f', file)
  expect(code, stderr).toBe(0)
  expect(stdout).toContain('Update succeeded. Deleting files\nreplicationcontroller "files-v2" rolling updated\n')
  expect(await imagesOf('app=files')).toEqual(['server:2', 'server:2'])
})

test('interrupted: the same command resumes, --rollback takes it back', async () => {
  await start('stop', 2)
  const begun = cluster.start(['rolling-update', 'stop', '--image=server:2', '--update-period=1h'])
  await new Promise<void>((done) => {
    let seen = ''
    begun.stdout?.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
      if (seen.includes('Scaling stop down to 1')) done()
    })
  })
  begun.kill('SIGKILL')
  await begun.done
  const back = await update('stop', '--rollback')
  expect(back.code, back.stderr).toBe(0)
  expect(back.stdout).toMatch(/^Setting "stop" replicas to 2\nContinuing update with existing controller stop\.\n/)
  expect(back.stdout).toMatch(/replicationcontroller "stop" rolling updated\n$/)
  await kubectl(['wait', 'rc/stop', '--for', 'jsonpath={.status.readyReplicas}=2', '--timeout=60s'])
  expect(await imagesOf('app=stop')).toEqual(['server:1', 'server:1'])

  const again = cluster.start(['rolling-update', 'stop', '--image=server:3', '--update-period=1h'])
  await new Promise<void>((done) => {
    let seen = ''
    again.stdout?.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
      if (seen.includes('Scaling stop down to 1')) done()
    })
  })
  again.kill('SIGKILL')
  await again.done
  const resumed = await update('stop', '--image=server:3')
  expect(resumed.code, resumed.stderr).toBe(0)
  expect(resumed.stdout).toMatch(
    /^Found existing update in progress \(stop-[0-9a-f]{32}\), resuming\.\nContinuing update with existing controller stop-/,
  )
  expect(resumed.stdout).toMatch(/ from 1 to 2, scaling down stop from [12] to 0 \(keep 2 pods available/)
  expect(await imagesOf('app=stop')).toEqual(['server:3', 'server:3'])
  expect((await controllers()).filter(({ metadata }) => metadata.name.startsWith('stop'))).toHaveLength(1)
})

test('wrong calls say what to do', async () => {
  const bad = async (...args: string[]) => {
    const { code, stderr } = await cluster.run(['rolling-update', ...args])
    return `${code}: ${stderr}`
  }
  expect(await bad()).toBe('2: cox: Must specify the controller to update\n')
  expect(await bad('web')).toBe('2: cox: Must specify --filename or --image for new controller\n')
  expect(await bad('web', '--image=x', '-f', 'y')).toBe('2: cox: --filename and --image can not both be specified\n')
  expect(await bad('web', '--image=x', '--update-period=soon')).toBe(
    '2: cox: --update-period: "soon" is not a duration such as 10s or 1m30s\n',
  )
  expect(await bad('web', '--image=server:2')).toBe(
    '1: cox: Specified --image must be distinct from existing container image\n',
  )
  expect(await bad('none', '--image=x')).toBe(
    '1: cox: Error from server (NotFound): replicationcontrollers "none" not found\n',
  )
  expect(await bad('web', '--rollback')).toContain('web has no update in progress')
})
