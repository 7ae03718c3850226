import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { containerdConfig } from './config.ts'
import { chooseOciRuntime, isOlder, keptOciRuntimes, OciRuntimeError } from './oci-runtimes.ts'

const crun = { version: '1.8.1' }
test.each([
  ['auto', { runc: true, crun }, 'crun', ['runc', 'crun'], 'version 1.8.1, found on this machine'],
  ['auto', { runc: true, crun: 'crun is not installed' }, 'runc', ['runc'], 'crun is not installed'],
  ['auto', { runc: false, crun }, 'crun', ['crun'], 'version 1.8.1, found on this machine'],
  ['runc', { runc: true, crun }, 'runc', ['runc', 'crun'], 'as --oci-runtime says'],
  ['crun', { runc: true, crun }, 'crun', ['runc', 'crun'], 'as --oci-runtime says'],
] as const)('%s with %j is %s', (choice, survey, standard, handlers, reason) => {
  expect(chooseOciRuntime(choice, survey)).toEqual({ standard, handlers, reason })
})
test.each([
  ['crun', { runc: true, crun: 'the kernel says no' }, 'crun cannot be used here: the kernel says no'],
  ['runc', { runc: false, crun }, 'runc is not installed'],
  ['auto', { runc: false, crun: 'it is too old' }, 'runc is not installed, and crun cannot be used: it is too old'],
] as const)('%s with %j is refused: %s', (choice, survey, message) => {
  expect(() => chooseOciRuntime(choice, survey)).toThrow(new OciRuntimeError(message))
})
test.each([
  ['1.8.1', '1.8', false],
  ['1.8', '1.8', false],
  ['1.10', '1.8', false],
  ['0.17', '1.8', true],
  ['1.7.9', '1.8', true],
  ['', '1.8', true],
])('%s is older than %s: %s', (version, than, older) => {
  expect(isOlder(version, than)).toBe(older)
})
test('each is a handler that a RuntimeClass can name, one is the default', () => {
  const config = containerdConfig({
    root: '/r',
    state: '/s',
    socket: '/c.sock',
    snapshotter: 'overlayfs',
    sandboxImage: 'pause',
    ociRuntimes: { handlers: ['runc', 'crun'], standard: 'crun' },
    cniBinDir: '/b',
    cniConfDir: '/n',
    registryDir: '/certs',
    restrictOomScore: false,
    logLevel: 'warn',
  })
  expect(config).toContain('default_runtime_name = "crun"')
  for (const name of ['runc', 'crun'])
    expect(config).toMatch(
      new RegExp(`runtimes\\.${name}\\.options\\]\\n {2}BinaryName = "${name}"\\n {2}Root = "/s/oci"`),
    )
})
test('a directory in which nothing was started has no choice', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cox-oci-'))
  expect(keptOciRuntimes(folder)).toBeUndefined()
  rmSync(folder, { recursive: true })
})
