import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type HostIdentity, openIdentity } from './identity.ts'
import { name } from './x509/certificate.ts'
import {
  bitString,
  context,
  contextPrimitive,
  DerError,
  decode,
  integer,
  octetString,
  oid,
  pem,
  sequence,
  set,
  unpem,
} from './x509/der.ts'
import { parseSigningRequest } from './x509/signing-request.ts'

const dayMs = 86_400_000
let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'cox-identity-'))
})
afterAll(() => rmSync(directory, { recursive: true }))
const open = (now?: () => number): HostIdentity => openIdentity({ directory, ...(now === undefined ? {} : { now }) })
const names = { dnsNames: ['localhost', 'kubernetes'], ipAddresses: ['127.0.0.1', '10.96.0.1', 'fd00::1'] }

/** A signing request as openssl would make it. */
function signingRequest(commonName: string, organizations: readonly string[], dnsNames: readonly string[]): string {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const alternatives = sequence(...dnsNames.map((text) => contextPrimitive(2, Buffer.from(text))))
  const extension = sequence(sequence(oid('2.5.29.17'), octetString(alternatives)))
  const info = sequence(
    integer(Buffer.from([0])),
    name({ commonName, organizations }),
    publicKey.export({ type: 'spki', format: 'der' }),
    context(0, sequence(oid('1.2.840.113549.1.9.14'), set(extension))),
  )
  const signature = bitString(sign('sha256', info, privateKey))
  return pem('CERTIFICATE REQUEST', sequence(info, sequence(oid('1.2.840.10045.4.3.2')), signature))
}

describe('certificates', () => {
  it('serve and identify over TLS', async () => {
    const identity = open()
    const serving = identity.serving('apiserver', names)
    const client = identity.client('admin', { commonName: 'joe', organizations: ['devs', 'system:masters'] })
    const server = createServer({
      cert: serving.certificatePem,
      key: serving.keyPem,
      ca: identity.ca.certificatePem,
      requestCert: true,
      rejectUnauthorized: true,
    })
    const seen = new Promise<unknown>((done) => {
      server.on('secureConnection', (socket: TLSSocket) => {
        const { CN, O } = socket.getPeerCertificate().subject as unknown as { CN: string; O: string[] }
        done([socket.authorized, CN, O])
        socket.end()
      })
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as { port: number }
    const socket = connect({
      port,
      host: '127.0.0.1',
      servername: 'kubernetes',
      ca: identity.ca.certificatePem,
      cert: client.certificatePem,
      key: client.keyPem,
    })
    expect(await seen).toEqual([true, 'joe', ['devs', 'system:masters']])
    socket.destroy()
    server.close()
  })
  it('are kept over restarts, and made anew when names or time ask for it', () => {
    const first = open().serving('again', names)
    expect(open().serving('again', names)).toEqual(first)
    const renamed = open().serving('again', { ...names, ipAddresses: ['127.0.0.1'] })
    expect(renamed.certificatePem).not.toBe(first.certificatePem)
    const later = open(() => Date.now() + 330 * dayMs).serving('again', { ...names, ipAddresses: ['127.0.0.1'] })
    expect(later.certificatePem).not.toBe(renamed.certificatePem)
    expect(later.keyPem).toBe(first.keyPem)
  })
  it.each([
    ['ran nine hours ahead', () => Date.now() + 9 * 3_600_000],
    ['ran twelve years ahead', () => Date.now() + 12 * 365 * dayMs],
    ['ran a day behind', () => Date.now() - dayMs],
    ['began in 1970', () => dayMs],
  ])('made under a clock that %s are good then and when it is right', (_, wrong) => {
    const own = mkdtempSync(join(tmpdir(), 'cox-identity-'))
    const born = openIdentity({ directory: own, now: wrong })
    const client = born.client('admin', { commonName: 'joe' })
    for (const now of [wrong(), Date.now()])
      for (const text of [born.ca, born.frontProxy, client].map((pair) => pair?.certificatePem ?? '')) {
        const { validFrom, validTo } = new X509Certificate(text)
        expect([Date.parse(validFrom) < now, Date.parse(validTo) > now]).toEqual([true, true])
      }
    const set = openIdentity({ directory: own })
    const authority = new X509Certificate(set.ca.certificatePem)
    for (const text of [client.certificatePem, set.client('admin', { commonName: 'joe' }).certificatePem])
      expect(new X509Certificate(text).verify(authority.publicKey)).toBe(true)
    rmSync(own, { recursive: true })
  })
  it('are made anew while they are in use', () => {
    const own = mkdtempSync(join(tmpdir(), 'cox-identity-'))
    let nowMs = Date.now()
    const identity = openIdentity({ directory: own, now: () => nowMs })
    const [before, same] = [identity.frontProxy, identity.frontProxy]
    expect(same).toEqual(before)
    nowMs += 330 * dayMs
    const after = identity.frontProxy
    expect(after?.certificatePem).not.toBe(before?.certificatePem)
    expect(after?.keyPem).toBe(before?.keyPem)
    rmSync(own, { recursive: true })
  })
  it('of an authority that ends are made anew with its key, and what it has signed stays good', () => {
    const own = mkdtempSync(join(tmpdir(), 'cox-identity-'))
    const first = openIdentity({ directory: own })
    const signed = first.client('admin', { commonName: 'joe' })
    const later = openIdentity({ directory: own, now: () => Date.now() + 3500 * dayMs })
    expect(later.ca.certificatePem).not.toBe(first.ca.certificatePem)
    expect(new X509Certificate(signed.certificatePem).checkIssued(new X509Certificate(later.ca.certificatePem))).toBe(
      true,
    )
    rmSync(own, { recursive: true })
  })
  it('carry every name', () => {
    const certificate = new X509Certificate(open().serving('names', names).certificatePem)
    expect(certificate.subjectAltName).toBe(
      'DNS:localhost, DNS:kubernetes, IP Address:127.0.0.1, IP Address:10.96.0.1, IP Address:FD00:0:0:0:0:0:0:1',
    )
    expect(certificate.ca).toBe(false)
  })
  it('keep keys to themselves', () => {
    open().client('private', { commonName: 'x' })
    for (const file of readdirSync(directory).filter((f) => f.endsWith('.key'))) {
      expect(statSync(join(directory, file)).mode & 0o077).toBe(0)
    }
  })
  it('refuse an authority whose key is another one', () => {
    const other = mkdtempSync(join(tmpdir(), 'cox-identity-'))
    openIdentity({ directory: other })
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    writeFileSync(join(other, 'ca.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
    expect(() => openIdentity({ directory: other })).toThrow('does not belong to ca.key')
    rmSync(other, { recursive: true })
  })
})

describe('signing requests', () => {
  it('are read, verified and signed', async () => {
    const { ca } = open()
    const csrPem = signingRequest('system:node:a', ['system:nodes'], ['a.example.com'])
    expect(await ca.inspect(csrPem)).toEqual({
      commonName: 'system:node:a',
      organizations: ['system:nodes'],
      dnsNames: ['a.example.com'],
      ipAddresses: [],
      emailAddresses: [],
      uris: [],
    })
    const notBeforeMs = Date.parse('2026-01-01T00:00:00Z')
    const signed = await ca.sign({ csrPem, notBeforeMs, notAfterMs: notBeforeMs + dayMs, usages: ['client auth'] })
    const certificate = new X509Certificate(signed)
    expect(certificate.verify(new X509Certificate(ca.certificatePem).publicKey)).toBe(true)
    expect(certificate.subject).toBe('O=system:nodes\nCN=system:node:a')
    expect(certificate.validTo).toBe('Jan  2 00:00:00 2026 GMT')
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2'])
  })
  it('are refused when forged or cut short', () => {
    const text = signingRequest('a', [], [])
    const der = unpem('CERTIFICATE REQUEST', text)
    const forged = Buffer.from(der)
    const at = forged.indexOf(Buffer.from([0x0c, 0x01, 0x61])) + 2
    forged[at] = 0x62
    expect(() => parseSigningRequest(pem('CERTIFICATE REQUEST', forged))).toThrow('the signature does not fit the key')
    for (let length = 0; length < der.length; length += 7) {
      expect(() => parseSigningRequest(pem('CERTIFICATE REQUEST', der.subarray(0, length)))).toThrow(DerError)
    }
    expect(() => decode(Buffer.from([0x30, 0x84, 0xff, 0xff, 0xff, 0xff]))).toThrow(DerError)
  })
})

describe('tokens', () => {
  const claims = (iss: string) => ({
    iss,
    sub: 'system:serviceaccount:default:default',
    aud: [iss],
    exp: 2_000_000_000,
    iat: 1,
    nbf: 1,
  })
  it('are signed and known again, after a restart too', async () => {
    const { tokens } = open()
    const token = await tokens.sign(claims(tokens.issuer))
    expect(await open().tokens.verify(token)).toEqual(claims(tokens.issuer))
    expect(JSON.stringify(await tokens.jwks())).toContain('"alg":"ES256"')
  })
  it('of others are not known', async () => {
    const { tokens } = open()
    const elsewhere = mkdtempSync(join(tmpdir(), 'cox-identity-'))
    const other = openIdentity({ directory: elsewhere }).tokens
    const [head, body, signature] = (await tokens.sign(claims(tokens.issuer))).split('.')
    const changed = Buffer.from(JSON.stringify({ ...claims(tokens.issuer), sub: 'admin' })).toString('base64url')
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.`
    for (const token of [
      await other.sign(claims(tokens.issuer)),
      `${head}.${changed}.${signature}`,
      none,
      'x',
      '..',
      '',
    ]) {
      expect(await tokens.verify(token)).toBeUndefined()
    }
    expect(await tokens.verify(await tokens.sign(claims('https://elsewhere')))).toBeUndefined()
    rmSync(elsewhere, { recursive: true })
  })
})

it('keys are elliptic', () => {
  const { keyPem } = open().client('kind', { commonName: 'x' })
  expect(createPublicKey(createPrivateKey(keyPem)).asymmetricKeyType).toBe('ec')
})
