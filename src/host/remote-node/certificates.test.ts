import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CertificateSigningRequest } from '../../api/certificates/certificate-signing-request.ts'
import type { Client } from '../../client/client.ts'
import { seededRandom } from '../../client/testing/fixtures.ts'
import { manualClock } from '../../client/testing/manual-clock.ts'
import { silentLog } from '../../ports/log.ts'
import { type HostIdentity, openIdentity } from '../identity.ts'
import {
  clientSigner,
  type Credentials,
  credentialFile,
  isUsable,
  keepCertificate,
  nodeSubject,
  renewalMs,
  requestCertificate,
  servingSigner,
  subjectName,
} from './certificates.ts'

let directory: string
let identity: HostIdentity
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cox-certificates-'))
  identity = openIdentity({ directory })
})
afterEach(() => rmSync(directory, { recursive: true }))
const dayMs = 86_400_000

/** A cluster that signs every request for ten days, or turns it down. */
function signing(nowMs: () => number, refusal?: string): { client: Client; asked: string[] } {
  const asked: string[] = []
  const resource = {
    async create(csr: CertificateSigningRequest) {
      asked.push(csr.spec.signerName)
      const csrPem = Buffer.from(csr.spec.request, 'base64').toString()
      const certificate = await identity.ca.sign({
        csrPem,
        usages: csr.spec.usages ?? [],
        notBeforeMs: nowMs(),
        notAfterMs: nowMs() + 10 * dayMs,
      })
      const status =
        refusal === undefined
          ? { certificate: Buffer.from(certificate).toString('base64') }
          : { conditions: [{ type: 'Denied', status: 'True', message: refusal }] }
      signed = { ...csr, metadata: { ...csr.metadata, name: 'csr-1' }, status } as never
      return signed
    },
    async *watch() {
      yield { type: 'ADDED', object: signed }
    },
  }
  let signed: CertificateSigningRequest | undefined
  return { client: { resource: () => resource } as never, asked }
}

test('a serving certificate carries the names that were asked for, under a key of its own', async () => {
  const { client, asked } = signing(Date.now)
  const names = { dnsNames: ['n1'], ipAddresses: ['192.0.2.1', 'fd00::1'] }
  const wish = { signer: servingSigner, subject: nodeSubject('n1'), names } as const
  const credentials = await requestCertificate(client, manualClock(), wish, 1000)
  const certificate = new X509Certificate(credentials.certificatePem)
  expect(certificate.subjectAltName).toBe('DNS:n1, IP Address:192.0.2.1, IP Address:FD00:0:0:0:0:0:0:1')
  expect([subjectName(credentials.certificatePem), asked]).toEqual(['system:node:n1', [servingSigner]])
  expect(isUsable(credentials, identity.ca.certificatePem, Date.now())).toBe(true)
  expect(isUsable(credentials, identity.ca.certificatePem, Date.now() + 11 * dayMs)).toBe(false)
})
test('a request that is turned down says so', async () => {
  const { client } = signing(Date.now, 'not you')
  const wish = { signer: clientSigner, subject: nodeSubject('n1'), names: {} } as const
  await expect(requestCertificate(client, manualClock(), wish, 1000)).rejects.toThrow(
    'the certificate request csr-1 was turned down (Denied): not you',
  )
})
test('a certificate is renewed before it ends, and the file holds one pair or the other', async () => {
  const clock = manualClock()
  const { client, asked } = signing(() => clock.now())
  const file = credentialFile(directory, 'kubelet-client')
  const issued: Credentials[] = []
  const kept = keepCertificate({
    client,
    clock,
    random: seededRandom(1),
    log: silentLog,
    file,
    wish: () => ({ signer: clientSigner, subject: nodeSubject('n1'), names: {} }),
    onNew: (credentials) => issued.push(credentials),
  })
  await expect.poll(() => issued.length).toBe(1)
  expect(file.read()).toEqual(issued[0])
  expect(statSync(join(directory, 'kubelet-client.pem')).mode & 0o777).toBe(0o600)
  await clock.advance(6.9 * dayMs)
  expect(asked.length).toBe(1)
  await clock.advance(2.2 * dayMs)
  await expect.poll(() => issued.length).toBe(2)
  expect(file.read()).toEqual(issued[1])
  expect(renewalMs(issued[1]?.certificatePem ?? '', 0) - clock.now()).toBeGreaterThan(4 * dayMs)
  kept.stop()
})
