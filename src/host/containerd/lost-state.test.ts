import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { giveEndedState, withoutState } from './lost-state.ts'

let state: string
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'cox-lost-state-'))
})
afterEach(() => rmSync(state, { recursive: true }))

const config = { ociVersion: '1.0.2', process: { args: ['true'], cwd: '/' }, root: { path: 'rootfs' }, linux: {} }
function bundle(id: string, runtime: string, files: readonly string[] = ['init.pid']): void {
  const folder = join(state, 'io.containerd.runtime.v2.task', 'k8s.io', id)
  mkdirSync(join(folder, 'rootfs'), { recursive: true })
  writeFileSync(join(folder, 'runtime'), runtime)
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  for (const file of files) writeFileSync(join(folder, file), '4711')
}
const ociState = (id: string) => join(state, 'oci', 'k8s.io', id)

it('names what crun has forgotten, and nothing else', () => {
  expect(withoutState(state)).toEqual([])
  bundle('forgotten', 'crun')
  bundle('in-the-making', 'crun', [])
  bundle('of-runc', 'runc')
  bundle('runs', '/usr/bin/crun')
  mkdirSync(ociState('runs'), { recursive: true })
  writeFileSync(join(ociState('runs'), 'status'), '{}')
  expect(withoutState(state)).toEqual(['forgotten'])
  giveEndedState(state, 'forgotten')
  expect(withoutState(state)).toEqual([])
})

const crun = (...words: readonly string[]) =>
  spawnSync('crun', ['--root', join(state, 'oci', 'k8s.io'), ...words], { encoding: 'utf8' })
it.runIf(spawnSync('crun', ['--version']).status === 0)('crun takes it for one that has ended, and deletes it', () => {
  bundle('forgotten', 'crun')
  giveEndedState(state, 'forgotten')
  // What a shim understands.
  expect(crun('kill', 'forgotten', '9').stderr).toMatch(/no such process/i)
  const { status, stderr } = crun('delete', '--force', 'forgotten')
  expect([status, stderr, existsSync(ociState('forgotten'))]).toEqual([0, '', false])
})
