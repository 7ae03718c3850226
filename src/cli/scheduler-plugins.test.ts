import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { schedulerCluster } from '../scheduler/testing/cluster.ts'
import { schedulerOf } from './scheduler-plugins.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cox-scheduler-'))
})
afterEach(() => rmSync(folder, { recursive: true }))
function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
const config = (more: string) =>
  file('scheduler.yaml', `apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n${more}`)

it('a plugin in TypeScript, named in the file, decides where pods go', async () => {
  file('wish.ts', 'export const wished: string = "n2"\n')
  file(
    'prefer.ts',
    `import { wished } from './wish.ts'
interface Args { readonly bonus?: number }
export const prefer = {
  name: 'Prefer',
  create: (_handle: unknown, args: unknown) => ({
    name: 'Prefer',
    score: (_cycle: unknown, node: { readonly name: string }): number =>
      node.name === wished ? ((args as Args).bonus ?? 0) : 0,
  }),
}
`,
  )
  const settings = await schedulerOf(
    config(`
pluginModules: [./prefer.ts]
profiles:
- plugins: {multiPoint: {enabled: [{name: Prefer, weight: 100}]}}
  pluginConfig: [{name: Prefer, args: {bonus: 100}}]
`),
  )
  if (settings === undefined) throw new Error('no settings')
  const cluster = await schedulerCluster({ profiles: settings.profiles, plugins: settings.plugins })
  try {
    for (const name of ['n1', 'n2', 'n3']) await cluster.node(name)
    for (const name of ['a', 'b', 'c']) await cluster.pod(name)
    await cluster.advance()
    expect(await cluster.placements()).toEqual({ a: 'n2', b: 'n2', c: 'n2' })
  } finally {
    await cluster.stop()
  }
})
it('says what is wrong with flag, file and field', async () => {
  expect(await schedulerOf(undefined)).toBeUndefined()
  await expect(schedulerOf(join(folder, 'none.yaml'))).rejects.toThrow(
    /^--scheduler-config .*none.yaml: cannot be read/,
  )
  await expect(schedulerOf(config('pluginModules: [./none.ts]'))).rejects.toThrow('pluginModules: there is no file')
  file('empty.ts', 'export const nothing = 1\n')
  await expect(schedulerOf(config('pluginModules: [./empty.ts]'))).rejects.toThrow('exports no plugin')
  file('broken.ts', 'export const = 1\n')
  await expect(schedulerOf(config('pluginModules: [./broken.ts]'))).rejects.toThrow('broken.ts: Build failed')
})
