// X.509 v3 certificates (RFC 5280) signed with an elliptic key, P-256 and SHA-256.
import { createHash, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { isIP } from 'node:net'
import {
  bitString,
  boolean,
  context,
  contextPrimitive,
  decode,
  children,
  integer,
  octetString,
  oid,
  pem,
  sequence,
  set,
  time,
  utf8String,
} from './der.ts'

export interface Subject {
  readonly commonName: string
  readonly organizations?: readonly string[]
}
export interface AlternativeNames {
  readonly dnsNames?: readonly string[]
  readonly ipAddresses?: readonly string[]
  readonly emailAddresses?: readonly string[]
  readonly uris?: readonly string[]
}
/** As in a CertificateSigningRequest: "digital signature", "client auth" ... */
export type Usage = string

export interface CertificateOptions {
  readonly subject: Subject
  readonly names?: AlternativeNames
  /** Subject public key info, DER. */
  readonly publicKey: Buffer
  readonly usages: readonly Usage[]
  readonly isAuthority?: boolean
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly serial: Uint8Array
  readonly issuer: Subject
  readonly issuerKey: KeyObject
  /** Subject public key info of the issuer, DER. */
  readonly issuerPublicKey: Buffer
}

/** Bit numbers of the key usage extension. */
const keyUsages: Readonly<Record<string, number>> = {
  'digital signature': 0,
  'content commitment': 1,
  'key encipherment': 2,
  'data encipherment': 3,
  'key agreement': 4,
  'cert sign': 5,
  'crl sign': 6,
  'encipher only': 7,
}
const extendedUsages: Readonly<Record<string, string>> = {
  any: '2.5.29.37.0',
  'server auth': '1.3.6.1.5.5.7.3.1',
  'client auth': '1.3.6.1.5.5.7.3.2',
  'code signing': '1.3.6.1.5.5.7.3.3',
  'email protection': '1.3.6.1.5.5.7.3.4',
  's/mime': '1.3.6.1.5.5.7.3.4',
  'ipsec end system': '1.3.6.1.5.5.7.3.5',
  'ipsec tunnel': '1.3.6.1.5.5.7.3.6',
  'ipsec user': '1.3.6.1.5.5.7.3.7',
  timestamping: '1.3.6.1.5.5.7.3.8',
  'ocsp signing': '1.3.6.1.5.5.7.3.9',
}
export const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'))

/** A certificate as PEM. */
export function makeCertificate(options: CertificateOptions): string {
  const body = sequence(
    context(0, integer(Buffer.from([2]))),
    integer(options.serial),
    ecdsaWithSha256,
    name(options.issuer),
    sequence(time(options.notBeforeMs), time(options.notAfterMs)),
    name(options.subject),
    options.publicKey,
    context(3, sequence(...extensions(options))),
  )
  const signature = sign('sha256', body, options.issuerKey)
  return pem('CERTIFICATE', sequence(body, ecdsaWithSha256, bitString(signature)))
}

/** A certificate that only its owner vouches for, good for a day: until the cluster has given another. */
export function selfSigned(dnsName: string, key: KeyObject, nowMs: number) {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const subject = { commonName: dnsName }
  const certificatePem = makeCertificate({
    subject,
    names: { dnsNames: [dnsName] },
    publicKey,
    usages: ['digital signature', 'server auth'],
    notBeforeMs: nowMs - 300_000,
    notAfterMs: nowMs + 86_400_000,
    serial: Buffer.from([1]),
    issuer: subject,
    issuerKey: key,
    issuerPublicKey: publicKey,
  })
  return { certificatePem, keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

export function name({ commonName, organizations = [] }: Subject): Buffer {
  const attribute = (type: string, value: string) => set(sequence(oid(type), utf8String(value)))
  return sequence(...organizations.map((o) => attribute('2.5.4.10', o)), attribute('2.5.4.3', commonName))
}

function extensions(options: CertificateOptions): Buffer[] {
  const extension = (id: string, critical: boolean, value: Uint8Array) =>
    critical ? sequence(oid(id), boolean(true), octetString(value)) : sequence(oid(id), octetString(value))
  const out: Buffer[] = []
  const bits = options.usages.flatMap((usage) => keyUsages[usage] ?? [])
  if (bits.length > 0) out.push(extension('2.5.29.15', true, usageBits(bits)))
  const extended = options.usages.flatMap((usage) => extendedUsages[usage] ?? [])
  if (extended.length > 0) out.push(extension('2.5.29.37', false, sequence(...extended.map(oid))))
  out.push(extension('2.5.29.19', true, options.isAuthority === true ? sequence(boolean(true)) : sequence()))
  if (options.isAuthority === true) out.push(extension('2.5.29.14', false, octetString(keyId(options.publicKey))))
  else {
    const issuer = sequence(contextPrimitive(0, keyId(options.issuerPublicKey)))
    out.push(extension('2.5.29.35', false, issuer))
  }
  const names = generalNames(options.names ?? {})
  if (names.length > 0) out.push(extension('2.5.29.17', false, sequence(...names)))
  return out
}

function usageBits(bits: readonly number[]): Buffer {
  const last = Math.max(...bits)
  const bytes = Buffer.alloc(Math.floor(last / 8) + 1)
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7))
  return bitString(bytes, 7 - (last & 7))
}

export function generalNames({
  dnsNames = [],
  ipAddresses = [],
  emailAddresses = [],
  uris = [],
}: AlternativeNames): Buffer[] {
  return [
    ...emailAddresses.map((text) => contextPrimitive(1, Buffer.from(text))),
    ...dnsNames.map((text) => contextPrimitive(2, Buffer.from(text))),
    ...uris.map((text) => contextPrimitive(6, Buffer.from(text))),
    ...ipAddresses.map((text) => contextPrimitive(7, addressBytes(text))),
  ]
}

/** Four or sixteen bytes. */
export function addressBytes(text: string): Buffer {
  if (isIP(text) === 4) return Buffer.from(text.split('.').map(Number))
  const [head = '', tail] = text.split('::')
  const words = (part: string) =>
    (part === '' ? [] : part.split(':')).flatMap((word) => {
      if (!word.includes('.')) return [Number.parseInt(word, 16)]
      const [a = 0, b = 0, c = 0, d = 0] = word.split('.').map(Number)
      return [a * 256 + b, c * 256 + d]
    })
  const before = words(head)
  const after = tail === undefined ? [] : words(tail)
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after]
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 0xff]))
}

/** RFC 5280, 4.2.1.2, method 1: SHA-1 of the public key's bits. */
export function keyId(publicKeyInfo: Buffer): Buffer {
  const bits = children(decode(publicKeyInfo))[1]
  return createHash('sha1')
    .update(bits === undefined ? publicKeyInfo : bits.content.subarray(1))
    .digest()
}
