import { existsSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { claimUsualPaths, releaseUsualPaths } from './usual-paths.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cox-usual-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

it('leads to the first cluster until it goes, and then to the next that starts', () => {
  const [first, second, usual] = ['one', 'two', 'usual'].map((name) => join(folder, name)) as [string, string, string]
  const plugins = join(usual, 'device-plugins')
  claimUsualPaths(first, usual)
  claimUsualPaths(first, usual)
  claimUsualPaths(second, usual)
  writeFileSync(join(plugins, 'some.sock'), '')
  expect(existsSync(join(first, 'device-plugins', 'some.sock'))).toBe(true)
  releaseUsualPaths(second, usual)
  expect(readlinkSync(plugins)).toBe(join(first, 'device-plugins'))
  releaseUsualPaths(first, usual)
  expect(existsSync(usual)).toBe(false)
  claimUsualPaths(second, usual)
  expect(readlinkSync(plugins)).toBe(join(second, 'device-plugins'))
})
it('takes what a cluster has left whose directory is gone, and nothing of another kubelet', () => {
  const [own, usual] = [join(folder, 'own'), join(folder, 'usual')]
  claimUsualPaths(join(folder, 'gone'), usual)
  rmSync(join(folder, 'gone'), { recursive: true })
  rmSync(join(usual, 'pod-resources'))
  mkdirSync(join(usual, 'pod-resources'))
  claimUsualPaths(own, usual)
  expect(readlinkSync(join(usual, 'device-plugins'))).toBe(join(own, 'device-plugins'))
  releaseUsualPaths(own, usual)
  expect(existsSync(join(usual, 'pod-resources'))).toBe(true)
})
