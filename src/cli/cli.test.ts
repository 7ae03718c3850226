import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { CliError, helpOf, parse } from './command.ts'
import { storeOf, up } from './commands/up.ts'
import { readRunState, runningServer, startTicksOf, writeRunState } from './data-dir.ts'
import { lockDataDir } from './data-lock.ts'
import { kubeconfigOf, mergeKubeconfig, writeKubeconfig } from './kubeconfig-file.ts'
import { listenOf } from './listen.ts'
import { runtimeOf } from './node-flags.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cox-cli-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('words', () => {
  test.each([
    ['127.0.0.1:6443', { host: '127.0.0.1', port: 6443 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    [':8443', { host: '0.0.0.0', port: 8443 }],
    ['localhost:1', { host: 'localhost', port: 1 }],
  ])('--listen %s', (text, expected) => {
    expect(listenOf(text)).toEqual(expected)
  })
  test.each(['6443', 'host', 'a:b', '1:2:3', '127.0.0.1:70000', ''])('--listen "%s" is refused', (text) => {
    expect(() => listenOf(text)).toThrow(CliError)
  })
  test('runtimes and stores', () => {
    expect([runtimeOf(), runtimeOf('sim'), runtimeOf('unix:///x.sock'), storeOf(), storeOf('memory')]).toEqual([
      'containerd',
      'sim',
      'unix:///x.sock',
      'lmdb',
      'memory',
    ])
    expect(() => runtimeOf('unix://x')).toThrow(/--runtime wants/)
    expect(() => storeOf('')).toThrow(/--store wants/)
  })
  test('flags are taken in every spelling, unknown ones named', () => {
    const call = parse(up, ['--data-dir=/x', '-d', '--listen', '127.0.0.1:1', '-y'])
    if (call === 'help') throw new Error('no help was asked for')
    expect([call.flag('data-dir'), call.on('detach'), call.flag('listen'), call.on('yes')]).toEqual([
      '/x',
      true,
      '127.0.0.1:1',
      true,
    ])
    expect(parse(up, ['--help'])).toBe('help')
    expect(() => parse(up, ['--nope'])).toThrow('unknown flag: --nope; "cox up --help" lists the flags')
    for (const flag of Object.keys(up.flags)) expect(helpOf(up)).toContain(`--${flag}`)
  })
})

describe('the kubeconfig', () => {
  const access = { url: 'https://127.0.0.1:6443', caPem: 'ca', certificatePem: 'cert', keyPem: 'key' }
  test('is complete, and its owner’s alone', () => {
    const path = join(folder, 'below', 'config')
    writeKubeconfig(path, access, false)
    expect(parseYaml(readFileSync(path, 'utf8'))).toEqual({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'coxswain', cluster: { server: access.url, 'certificate-authority-data': 'Y2E=' } }],
      users: [{ name: 'coxswain', user: { 'client-certificate-data': 'Y2VydA==', 'client-key-data': 'a2V5' } }],
      contexts: [{ name: 'coxswain', context: { cluster: 'coxswain', user: 'coxswain' } }],
      'current-context': 'coxswain',
    })
  })
  test('is merged: what others wrote stays', () => {
    const others = {
      preferences: { colors: true },
      clusters: [{ name: 'work', cluster: { server: 'https://work' } }, { name: 'coxswain' }],
      users: [{ name: 'me' }],
      contexts: [{ name: 'work' }],
      'current-context': 'work',
    }
    const merged = mergeKubeconfig(others, kubeconfigOf(access))
    expect(merged.clusters?.map((c) => c.name)).toEqual(['work', 'coxswain'])
    expect(merged.users?.map((c) => c.name)).toEqual(['me', 'coxswain'])
    expect(merged).toMatchObject({ preferences: { colors: true }, 'current-context': 'coxswain' })
  })
  test('a file that is something else is left alone', () => {
    const path = join(folder, 'config')
    writeFileSync(path, '- a list\n')
    expect(() => writeKubeconfig(path, access, true)).toThrow(/is not a kubeconfig: name another file/)
    expect(readFileSync(path, 'utf8')).toBe('- a list\n')
  })
})

describe.runIf(process.platform === 'linux')('the data directory', () => {
  test('is one process’s at a time; a lock of a dead process is taken over', () => {
    const unlock = lockDataDir(folder)
    expect(() => lockDataDir(folder)).toThrow(new RegExp(`${folder} is in use by process ${process.pid}`))
    unlock()
    writeFileSync(join(folder, 'cox.lock'), `${process.pid} 1\n`)
    lockDataDir(folder)()
  })
  test('that cannot be made is told', () => {
    writeFileSync(join(folder, 'file'), '')
    expect(() => lockDataDir(join(folder, 'file', 'x'))).toThrow(/cannot write to the data directory/)
  })
  test('knows its server by process and start time', () => {
    expect(runningServer(folder)).toBeUndefined()
    const state = {
      role: 'up',
      url: 'https://x',
      runtime: 'sim',
      store: 'memory',
      nodeName: 'n',
      startedAt: 'now',
    } as const
    writeRunState(folder, state)
    expect(runningServer(folder)).toMatchObject({ ...state, pid: process.pid })
    const whole = readRunState(folder)
    writeFileSync(join(folder, 'cox.json'), JSON.stringify({ ...whole, startTicks: '1' }))
    expect(runningServer(folder)).toBeUndefined()
    expect(startTicksOf(2 ** 22 + 1)).toBeUndefined()
  })
})
