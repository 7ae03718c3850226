import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { containerdConfig } from './config.ts'
import { chooseOciRuntime, keptOciRuntimes, OciRuntimeError, tryCrun } from './oci-runtimes.ts'

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
describe('a crun is tried with what containerd writes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cox-try-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const script = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
    return path
  }
  const ctr = script('ctr', 'echo \'{"ociVersion": "1.2.1"}\'')
  const crun = (version: string, complaint: string) =>
    script('crun', `[ "$1" = --version ] && { echo crun version ${version}; exit; }\necho ${complaint} >&2; exit 1`)
  test.each([
    ['1.21', 'no such root file system', { version: '1.21' }],
    [
      '1.8.1',
      'unknown version specified',
      'crun 1.8.1 does not understand what this containerd writes (crun: unknown version specified)',
    ],
    ['0.17', '', 'crun 0.17 is older than 1.8, the first that is known to pass'],
  ])('%s, which says "%s"', async (version, complaint, found) => {
    const answer = await tryCrun(crun(version, complaint), ctr)
    expect(typeof answer === 'string' ? answer.replace(`${folder}/`, '') : answer).toEqual(found)
  })
  test('one that cannot start is a reason, not a failure', async () => {
    const broken = script('broken', 'echo cannot open shared object file >&2; exit 127')
    expect(await tryCrun(broken, ctr)).toMatch(/^crun does not start \(.*cannot open shared object file\)$/)
  })
})
test('a directory in which nothing was started has no choice', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cox-oci-'))
  expect(keptOciRuntimes(folder)).toBeUndefined()
  rmSync(folder, { recursive: true })
})
