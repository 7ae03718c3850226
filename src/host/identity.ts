// Who the cluster is: its authority, serving certificate, client certificates and the key that signs service account
// tokens, all elliptic (P-256) and kept as files in the data directory. Opening an existing identity reads files only.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type {
  CertificateAuthority,
  Identity,
  RequestedSubject,
  SigningRequest,
  TokenClaims,
  TokenSigner,
} from '../ports/identity.ts'
import { type AlternativeNames, makeCertificate, type Subject } from './x509/certificate.ts'
import { parseSigningRequest } from './x509/signing-request.ts'

const dayMs = 86_400_000
const authorityLifeMs = 3650 * dayMs
const certificateLifeMs = 365 * dayMs
/** A certificate that ends sooner is made anew. */
const renewBeforeMs = 60 * dayMs
/** A clock that shows an earlier time is wrong: this program was not there then. */
const programMs = Date.UTC(2026, 0)

const frontProxyName = 'front-proxy-client'

export interface KeyPairFiles {
  readonly certificatePem: string
  readonly keyPem: string
}
export interface HostIdentity extends Identity {
  /** A serving certificate for these names, made once and again when the names or the time ask for it. */
  serving(file: string, names: AlternativeNames): KeyPairFiles
  /** A client certificate, likewise. */
  client(file: string, subject: Subject): KeyPairFiles
  /** A kubelet's certificate: serves and calls. */
  node(file: string, nodeName: string, names: AlternativeNames): KeyPairFiles
}

export interface IdentityOptions {
  /** Holds ca.crt, ca.key, sa.key and the certificates; made where it is missing. */
  readonly directory: string
  readonly issuer?: string
  readonly now?: () => number
}

/** Opens the identity of a data directory, or makes it. Throws where files are unreadable or damaged. */
export function openIdentity(options: IdentityOptions): HostIdentity {
  const { directory, issuer = 'https://kubernetes.default.svc.cluster.local', now = Date.now } = options
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const authority = openAuthority(directory, 'ca', 'coxswain-ca', now)
  const proxyAuthority = openAuthority(directory, 'front-proxy-ca', 'coxswain-front-proxy-ca', now)
  const pair = (file: string, subject: Subject, names: AlternativeNames, usages: readonly string[]) =>
    certificateIn(directory, file, authority, subject, names, usages, now)
  const usages = ['digital signature', 'key encipherment', 'client auth']
  const proxyPair = () =>
    certificateIn(directory, frontProxyName, proxyAuthority, { commonName: frontProxyName }, {}, usages, now)
  let proxy = proxyPair()
  let proxyCertificate = new X509Certificate(proxy.certificatePem)
  return {
    ca: certificateAuthority(authority),
    /** Asked for at every call to a server behind this one. */
    get frontProxy() {
      if (!lasts(proxyCertificate, now(), renewBeforeMs)) {
        proxy = proxyPair()
        proxyCertificate = new X509Certificate(proxy.certificatePem)
      }
      return { caPem: proxyAuthority.certificatePem, commonName: frontProxyName, ...proxy }
    },
    tokens: tokenSigner(issuer, privateKeyIn(join(directory, 'sa.key'))),
    serving: (file, names) => {
      const commonName = names.dnsNames?.[0] ?? names.ipAddresses?.[0] ?? 'kube-apiserver'
      return pair(file, { commonName }, names, ['digital signature', 'key encipherment', 'server auth'])
    },
    client: (file, subject) => pair(file, subject, {}, usages),
    node: (file, nodeName, names) =>
      pair(file, { commonName: `system:node:${nodeName}`, organizations: ['system:nodes'] }, names, [
        'digital signature',
        'key encipherment',
        'client auth',
        'server auth',
      ]),
  }
}

/** From long ago, so that a certificate outlives a clock that was wrong when it was made: one that ran ahead and is set
 * right, or one that began in 1970 for want of a battery. */
const validity = (nowMs: number, lifeMs: number) => ({
  notBeforeMs: Math.min(programMs, nowMs - dayMs),
  notAfterMs: Math.max(programMs, nowMs) + lifeMs,
})
const lasts = ({ validFrom, validTo }: X509Certificate, nowMs: number, leftMs: number): boolean =>
  Date.parse(validFrom) <= nowMs && Date.parse(validTo) > nowMs + leftMs

interface Authority {
  readonly certificatePem: string
  readonly subject: Subject
  readonly key: KeyObject
  readonly publicKey: Buffer
}

function openAuthority(directory: string, name: string, authorityName: string, now: () => number): Authority {
  const key = privateKeyIn(join(directory, `${name}.key`))
  const publicKey = publicKeyInfo(key)
  const file = join(directory, `${name}.crt`)
  const kept = existsSync(file) ? new X509Certificate(readFileSync(file)) : undefined
  if (kept?.checkPrivateKey(key) === false) throw new Error(`${file} does not belong to ${name}.key beside it`)
  const commonName = /^CN=(.*)$/m.exec(kept?.subject ?? '')?.[1] ?? authorityName
  const subject = { commonName }
  const isOwn = kept?.subject === `CN=${commonName}` && kept.subject === kept.issuer
  // Made anew with the same key, it still vouches for every certificate that it has signed.
  if (kept === undefined || (isOwn && !lasts(kept, now(), certificateLifeMs)))
    writeWhole(
      file,
      makeCertificate({
        subject,
        publicKey,
        usages: ['digital signature', 'key encipherment', 'cert sign'],
        isAuthority: true,
        ...validity(now(), authorityLifeMs),
        serial: serialNumber(),
        issuer: subject,
        issuerKey: key,
        issuerPublicKey: publicKey,
      }),
      0o644,
    )
  return { certificatePem: readFileSync(file, 'utf8'), subject, key, publicKey }
}

function certificateIn(
  directory: string,
  file: string,
  authority: Authority,
  subject: Subject,
  names: AlternativeNames,
  usages: readonly string[],
  now: () => number,
): KeyPairFiles {
  const path = join(directory, `${file}.crt`)
  const key = privateKeyIn(join(directory, `${file}.key`))
  const keyPem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
  if (existsSync(path)) {
    const certificatePem = readFileSync(path, 'utf8')
    const known = new X509Certificate(certificatePem)
    const same = known.checkPrivateKey(key) && known.checkIssued(new X509Certificate(authority.certificatePem))
    if (lasts(known, now(), renewBeforeMs) && same && namesOf(known) === wantedNames(names))
      return { certificatePem, keyPem }
  }
  const certificatePem = makeCertificate({
    subject,
    names,
    publicKey: publicKeyInfo(key),
    usages,
    ...validity(now(), certificateLifeMs),
    serial: serialNumber(),
    issuer: authority.subject,
    issuerKey: authority.key,
    issuerPublicKey: authority.publicKey,
  })
  writeWhole(path, certificatePem, 0o644)
  return { certificatePem, keyPem }
}

const serialNumber = (): Buffer => {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes
}
const wantedNames = ({ dnsNames = [], ipAddresses = [] }: AlternativeNames): string =>
  [...dnsNames.map((n) => `DNS:${n}`), ...ipAddresses.map((a) => `IP:${expanded(a)}`)].sort().join()
const namesOf = (certificate: X509Certificate): string =>
  (certificate.subjectAltName ?? '')
    .split(', ')
    .filter((part) => part !== '')
    .map((part) => (part.startsWith('IP Address:') ? `IP:${expanded(part.slice(11))}` : part))
    .sort()
    .join()
/** One spelling for an address. */
const expanded = (address: string): string =>
  address.includes(':') ? new URL(`http://[${address}]`).hostname : address

function privateKeyIn(file: string): KeyObject {
  if (existsSync(file)) return createPrivateKey(readFileSync(file))
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  writeWhole(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 0o600)
  return privateKey
}
const publicKeyInfo = (key: KeyObject): Buffer => createPublicKey(key).export({ type: 'spki', format: 'der' })

/** Never leaves half a file behind. */
function writeWhole(file: string, text: string, mode: number): void {
  const temporary = `${file}.new`
  writeFileSync(temporary, text, { mode, flush: true })
  chmodSync(temporary, mode)
  renameSync(temporary, file)
}

function certificateAuthority(authority: Authority): CertificateAuthority {
  return {
    certificatePem: authority.certificatePem,
    async sign(request: SigningRequest) {
      const { subject, publicKey } = parseSigningRequest(request.csrPem)
      return makeCertificate({
        subject,
        names: subject,
        publicKey,
        usages: request.usages,
        notBeforeMs: request.notBeforeMs,
        notAfterMs: request.notAfterMs,
        serial: serialNumber(),
        issuer: authority.subject,
        issuerKey: authority.key,
        issuerPublicKey: authority.publicKey,
      })
    },
    async inspect(csrPem): Promise<RequestedSubject> {
      return parseSigningRequest(csrPem).subject
    },
  }
}

/** ES256 tokens. The library is loaded with the first token, not at start. */
function tokenSigner(issuer: string, key: KeyObject): TokenSigner {
  const publicKey = createPublicKey(key)
  const keyId = keyIdOf(publicKey)
  return {
    issuer,
    async sign(claims) {
      const { SignJWT } = await import('jose')
      return new SignJWT(claims as unknown as Record<string, unknown>)
        .setProtectedHeader({ alg: 'ES256', kid: keyId })
        .sign(key)
    },
    async verify(token) {
      const { compactVerify, errors } = await import('jose')
      try {
        const { payload } = await compactVerify(token, publicKey, { algorithms: ['ES256'] })
        const claims = JSON.parse(new TextDecoder().decode(payload)) as TokenClaims & { aud?: unknown }
        if (claims.iss !== issuer) return undefined
        const aud = Array.isArray(claims.aud) ? claims.aud : typeof claims.aud === 'string' ? [claims.aud] : []
        return { ...claims, aud }
      } catch (error) {
        if (error instanceof errors.JOSEError || error instanceof SyntaxError || error instanceof TypeError)
          return undefined
        throw error
      }
    },
    async jwks() {
      return { keys: [{ ...publicKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: keyId }] }
    },
  }
}

/** Names the key by what it is, so that it keeps its name over restarts. */
function keyIdOf(publicKey: KeyObject): string {
  const info = publicKey.export({ type: 'spki', format: 'der' })
  return Buffer.from(info).subarray(-32).toString('base64url')
}
