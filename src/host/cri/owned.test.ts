import { expect, test } from 'vitest'
import type { ContainerConfig, ContainerRuntime, SandboxConfig } from '../../ports/container-runtime.ts'
import { withOwner } from './owned.ts'

/** A runtime that keeps labels only. */
function labelled() {
  const sandboxes: { id: string; labels: Readonly<Record<string, string>> }[] = []
  const containers: typeof sandboxes = []
  const runtime = {
    runPodSandbox: (config: SandboxConfig) =>
      Promise.resolve(`s${sandboxes.push({ id: `s${sandboxes.length + 1}`, labels: config.labels })}`),
    createContainer: (_: string, config: ContainerConfig) =>
      Promise.resolve(`c${containers.push({ id: `c${containers.length + 1}`, labels: config.labels })}`),
    listPodSandboxes: () => Promise.resolve(sandboxes),
    listContainers: () => Promise.resolve(containers),
    containerStats: () => Promise.resolve(containers.map(({ id, labels }) => ({ containerId: id, labels }))),
  }
  return runtime as unknown as ContainerRuntime
}

test('two owners of one runtime do not see each other, nor what is nobody’s', async () => {
  const runtime = labelled()
  const [mine, yours] = [withOwner(runtime, 'mine'), withOwner(runtime, 'yours')]
  const sandbox = { labels: { app: 'web' } } as unknown as SandboxConfig
  const container = { labels: {} } as unknown as ContainerConfig
  const id = await mine.runPodSandbox(sandbox, '')
  await mine.createContainer(id, container, sandbox)
  await runtime.runPodSandbox(sandbox, '')
  expect((await mine.listPodSandboxes()).map((one) => [one.id, one.labels['app']])).toEqual([['s1', 'web']])
  expect((await mine.listContainers()).map((one) => one.id)).toEqual(['c1'])
  expect((await mine.containerStats()).map((one) => one.containerId)).toEqual(['c1'])
  expect(await yours.listPodSandboxes()).toEqual([])
  expect(await yours.listContainers()).toEqual([])
})
