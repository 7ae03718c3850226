// A scheduler plugin of the user's, in TypeScript, loaded by the built program.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { testCluster } from './cox.ts'

const cluster = testCluster('plugin')
afterAll(() => cluster.remove())

test('cox up --scheduler-config takes the plugins of a module', async () => {
  const file = (name: string, text: string) => {
    writeFileSync(join(cluster.dataDir, name), text)
    return join(cluster.dataDir, name)
  }
  file(
    'closed.ts',
    `import { unschedulable, type PluginFactory } from 'coxswain'
     export const closed: PluginFactory = {
       name: 'Closed',
       create: () => ({ name: 'Closed', filter: () => unschedulable('the shop is closed') }),
     }`,
  )
  const config = file(
    'scheduler.yaml',
    'apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\npluginModules: [./closed.ts]\n' +
      'profiles:\n- plugins: {multiPoint: {enabled: [{name: Closed}]}}\n',
  )
  const up = ['up', '--runtime', 'sim', '--detach', '--listen', '127.0.0.1:0', '--scheduler-config', config]
  expect(await cluster.run(up)).toMatchObject({ code: 0 })
  const pod = file(
    'pod.json',
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'customer' },
      spec: { containers: [{ name: 'main', image: 'nginx' }] },
    }),
  )
  await vi.waitFor(async () => expect(await cluster.run(['apply', '-f', pod])).toMatchObject({ code: 0 }), 60_000)
  await vi.waitFor(async () => {
    expect((await cluster.run(['describe', 'pod', 'customer'])).stdout).toContain(
      '0/1 nodes are available: 1 the shop is closed.',
    )
  }, 60_000)
})
