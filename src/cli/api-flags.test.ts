import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openIdentity } from '../host/identity.ts'
import { apiChoiceOf, apiFlags, parseTokenFile } from './api-flags.ts'
import { type Command, parse } from './command.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cox-flags-'))
})
afterEach(() => rmSync(folder, { recursive: true }))
const command: Command = { name: 'up', summary: '', usage: 'up', flags: apiFlags, run: async () => 0 }
function choose(...words: string[]) {
  const call = parse(command, words)
  if (call === 'help') throw new Error('no help was asked for')
  return apiChoiceOf(call)
}
function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

it('reads the files that flags name', () => {
  const policy = file('policy.yaml', 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]')
  const choice = choose(
    '--audit-policy-file',
    policy,
    '--audit-log-path=/x',
    '--audit-log-maxsize',
    '5',
    '--anonymous-auth=false',
  )
  expect(choice).toMatchObject({
    anonymousAuth: false,
    audit: { policy: { rules: [{ level: 'Metadata' }] }, file: { path: '/x', maxBytes: 5 * 1024 * 1024 } },
  })
  expect(choose()).toEqual({})
  const caPem = openIdentity({ directory: folder }).ca.certificatePem
  const proxies = ['--requestheader-client-ca-file', file('proxies.crt', caPem)]
  expect(choose(...proxies)).toEqual({ frontProxies: { caPem, allowedNames: [] } })
  expect(choose(...proxies, '--requestheader-allowed-names=a, b')).toMatchObject({
    frontProxies: { allowedNames: ['a', 'b'] },
  })
})
it('says what is wrong with flag, file and field', () => {
  const policy = file('policy.yaml', 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{}]')
  expect(() => choose('--audit-policy-file', policy)).toThrow('--audit-policy-file needs --audit-log-path')
  expect(() => choose('--audit-policy-file', policy, '--audit-log-path', '-')).toThrow(
    `--audit-policy-file: ${policy}: rules[0].level: Required value`,
  )
  expect(() => choose('--encryption-provider-config', join(folder, 'none'))).toThrow(
    '--encryption-provider-config: cannot read',
  )
  expect(choose('--runtime-config', 'api/beta=true').runtimeConfig?.get('api/beta')).toBe(true)
  expect(() => choose('--runtime-config', 'batch/v7')).toThrow('--runtime-config: "batch/v7": no such group version')
  expect(() => choose('--max-requests-inflight', '0')).toThrow(
    '--max-requests-inflight wants a whole number from 1 on, not "0"',
  )
  expect(() => choose('--requestheader-client-ca-file', policy)).toThrow('holds no certificate: expected PEM')
  expect(() => choose('--requestheader-allowed-names=a')).toThrow('needs --requestheader-client-ca-file')
  expect(() => choose('--anonymous-auth', 'no')).toThrow('--anonymous-auth wants true or false, not "no"')
})
it('reads token files', () => {
  const tokens = parseTokenFile('t', 'a,joe,1,"devs,ops"\n# none\n\nb,ann,2\r\n"c,d",bob,3,devs\n')
  expect([...tokens]).toEqual([
    ['a', { name: 'joe', uid: '1', groups: ['devs', 'ops'] }],
    ['b', { name: 'ann', uid: '2', groups: [] }],
    ['c,d', { name: 'bob', uid: '3', groups: ['devs'] }],
  ])
  expect(() => parseTokenFile('t', 'a,joe,1\na,ann,2')).toThrow(
    '--token-auth-file: t, line 2: the token has been given before',
  )
  expect(() => parseTokenFile('t', 'a')).toThrow('--token-auth-file: t, line 1: expected TOKEN,USER,UID')
})
