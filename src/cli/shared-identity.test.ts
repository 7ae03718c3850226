import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { instanceOf } from '../host/instance.ts'
import { systemClock } from '../host/system.ts'
import { openMemoryStore } from '../store/memory.ts'
import type { Store } from '../store/store.ts'
import { CliError } from './command.ts'
import { seal, shareIdentity, unseal } from './shared-identity.ts'

let folder: string
let store: Store
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cox-shared-'))
  store = openMemoryStore({ clock: systemClock })
})
afterEach(async () => {
  await store.close()
  rmSync(folder, { recursive: true })
})
const server = (name: string, secret?: string, dualStack = false) => {
  const dataDir = join(folder, name)
  return shareIdentity({ store, instance: instanceOf(dataDir), dataDir, secret, dualStack, place: 'http://etcd' })
}
const file = (name: string, path: string) => readFileSync(join(folder, name, path), 'utf8')

test('the second server becomes the same cluster with the first one’s secret', async () => {
  await server('a')
  const secret = file('a', 'server-token').trim()
  await server('b', secret)
  for (const path of ['pki/ca.crt', 'pki/ca.key', 'pki/sa.key', 'network.json'])
    expect(file('b', path)).toBe(file('a', path))
  // A later start needs no flag.
  await server('b')
  expect(new TextDecoder().decode((await store.get('/coxswain/identity'))?.value)).not.toContain('PRIVATE')
})
test('without the secret, or with another one, nothing is given', async () => {
  await server('a')
  await expect(server('b')).rejects.toThrow(/holds a cluster: give its servers' secret with --server-token/)
  await expect(server('b', 'wrong')).rejects.toThrow(
    new CliError('--server-token is not the secret of the cluster in the etcd at http://etcd'),
  )
})
test('both address families are the cluster’s, the same on every server, or no server’s', async () => {
  await server('a', 'secret', true)
  await server('b', 'secret', true)
  expect(file('b', 'network.json')).toBe(file('a', 'network.json'))
  expect(JSON.parse(file('b', 'network.json'))).toMatchObject({ six: { serviceCidr: expect.stringContaining('/112') } })
  await store.close()
  store = openMemoryStore({ clock: systemClock })
  await server('c', 'secret')
  await expect(server('d', 'secret', true)).rejects.toThrow(/has IPv4 addresses alone: leave --dual-stack out/)
})
test('two first servers at once are one cluster', async () => {
  await Promise.all([server('a', 'same'), server('b', 'same')])
  expect(file('a', 'pki/ca.crt')).toBe(file('b', 'pki/ca.crt'))
})
test('a directory of another cluster is refused', async () => {
  await server('a')
  const other = openMemoryStore({ clock: systemClock })
  const dataDir = join(folder, 'c')
  await shareIdentity({ store: other, instance: instanceOf(dataDir), dataDir, secret: undefined, place: 'x' })
  await other.close()
  await expect(server('c', file('a', 'server-token').trim())).rejects.toThrow(/belongs to another cluster/)
})
test('what is sealed is opened by its secret alone', () => {
  const sealed = seal('text', 'secret')
  expect([unseal(sealed, 'secret'), unseal(sealed, 'other')]).toEqual(['text', undefined])
})
