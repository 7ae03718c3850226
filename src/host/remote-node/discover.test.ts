import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { detachedSignature } from '../../controllers/bootstrap-tokens.ts'
import { silentLog } from '../../ports/log.ts'
import { type HttpServer, serveHttp } from '../http-server.ts'
import { type HostIdentity, openIdentity } from '../identity.ts'
import { authorityHash, type DiscoverOptions, discoverAuthority } from './discover.ts'

let directory: string
let identity: HostIdentity
let server: HttpServer
let info: Record<string, string> | undefined
const token = 'abcdef.0123456789abcdef'

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cox-discover-'))
  identity = openIdentity({ directory })
  server = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    ...identity.serving('apiserver', { ipAddresses: ['127.0.0.1'] }),
    clientCa: identity.ca.certificatePem,
    handle: async () => ({
      kind: 'bytes',
      status: info === undefined ? 404 : 200,
      headers: { 'content-type': 'application/json' },
      body: new TextEncoder().encode(JSON.stringify({ data: info })),
    }),
    log: silentLog,
  })
})
afterAll(async () => {
  await server.close(0)
  rmSync(directory, { recursive: true })
})
beforeEach(() => {
  info = infoOf(identity.ca.certificatePem)
})
function infoOf(caPem: string): Record<string, string> {
  const cluster = { 'certificate-authority-data': Buffer.from(caPem).toString('base64') }
  const kubeconfig = JSON.stringify({ clusters: [{ name: '', cluster }] })
  return { kubeconfig, 'jws-kubeconfig-abcdef': detachedSignature(kubeconfig, 'abcdef', '0123456789abcdef') }
}
const discover = (more: Partial<DiscoverOptions> = {}) =>
  discoverAuthority({ url: `https://127.0.0.1:${server.port}`, token, nowMs: Date.now(), ...more })

test('the authority comes with a signature by the token', async () => {
  const caPem = identity.ca.certificatePem
  expect(await discover()).toBe(caPem)
  expect(await discover({ caHash: authorityHash(caPem) })).toBe(caPem)
})
test.each<[string, Partial<DiscoverOptions>, RegExp]>([
  ['an unknown token', { token: 'zzzzzz.0123456789abcdef' }, /does not know the token "zzzzzz"/],
  ['a wrong secret', { token: 'abcdef.0000000000000000' }, /the token "abcdef" has another secret/],
  [
    'another authority',
    { caHash: `sha256:${'0'.repeat(64)}` },
    /has another certificate authority than --ca-hash says/,
  ],
  ['a clock that is behind', { nowMs: Date.now() - 3_600_000 }, /is 60 minutes behind the server's/],
  ['a clock that is ahead', { nowMs: Date.now() + 600_000 }, /is 10 minutes ahead of the server's/],
  ['nobody there', { url: 'https://127.0.0.1:1' }, /no server answers at https:\/\/127.0.0.1:1/],
])('%s is told', async (_what, more, message) => {
  await expect(discover(more)).rejects.toThrow(message)
})
test('a cluster without cluster-info, and a server of another authority, are told', async () => {
  info = undefined
  await expect(discover()).rejects.toThrow(/cannot be joined yet/)
  const other = mkdtempSync(join(tmpdir(), 'cox-discover-'))
  info = infoOf(openIdentity({ directory: other }).ca.certificatePem)
  rmSync(other, { recursive: true })
  await expect(discover()).rejects.toThrow(/does not prove that it is of this cluster/)
})
