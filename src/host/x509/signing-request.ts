// PKCS#10 signing requests (RFC 2986): what they ask for, and whether whoever sent one holds the key.
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import type { RequestedSubject } from '../../ports/identity.ts'
import { type AlternativeNames, ecdsaWithSha256, generalNames, name as nameOf, type Subject } from './certificate.ts'
import {
  bitString,
  children,
  context,
  type Der,
  DerError,
  decode,
  integer,
  octetString,
  oid,
  pem,
  readOid,
  sequence,
  set,
  unpem,
} from './der.ts'

export interface ParsedRequest {
  readonly subject: RequestedSubject
  /** Subject public key info, DER. */
  readonly publicKey: Buffer
}

const hashes: Readonly<Record<string, string | null>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.3.101.112': null,
}

/** Reads and verifies a request. Throws DerError. */
export function parseSigningRequest(text: string): ParsedRequest {
  const [info, algorithm, signature] = children(decode(unpem('(?:NEW )?CERTIFICATE REQUEST', text)))
  if (info === undefined || algorithm === undefined || signature === undefined) throw malformed()
  const [, subject, publicKey, ...attributes] = children(info)
  if (subject === undefined || publicKey === undefined) throw malformed()
  const algorithmId = children(algorithm)[0]
  const hash = algorithmId === undefined ? undefined : hashes[readOid(algorithmId)]
  if (hash === undefined) throw new DerError('the signature algorithm is not supported')
  const key = createPublicKey({ key: publicKey.raw, format: 'der', type: 'spki' })
  if (!verify(hash, info.raw, key, signature.content.subarray(1)))
    throw new DerError('the signature does not fit the key')
  return { subject: { ...readName(subject), ...readAlternativeNames(attributes) }, publicKey: publicKey.raw }
}
const malformed = () => new DerError('the signing request is malformed')

function readName(name: Der): Pick<RequestedSubject, 'commonName' | 'organizations'> {
  let commonName = ''
  const organizations: string[] = []
  for (const part of children(name).flatMap(children)) {
    const [type, value] = children(part)
    if (type === undefined || value === undefined) throw malformed()
    const id = readOid(type)
    if (id === '2.5.4.3') commonName = value.content.toString('utf8')
    else if (id === '2.5.4.10') organizations.push(value.content.toString('utf8'))
  }
  return { commonName, organizations }
}

const extensionRequest = '1.2.840.113549.1.9.14'
const subjectAltName = '2.5.29.17'

function readAlternativeNames(attributes: readonly Der[]): Omit<RequestedSubject, 'commonName' | 'organizations'> {
  const found = {
    dnsNames: [] as string[],
    ipAddresses: [] as string[],
    emailAddresses: [] as string[],
    uris: [] as string[],
  }
  for (const attribute of attributes.filter((a) => a.tag === 0xa0).flatMap(children)) {
    const [type, values] = children(attribute)
    if (type === undefined || values === undefined || readOid(type) !== extensionRequest) continue
    for (const extension of children(values).flatMap(children)) {
      const parts = children(extension)
      const [id] = parts
      const content = parts.at(-1)
      if (id === undefined || content === undefined || readOid(id) !== subjectAltName) continue
      for (const name of children(decode(content.content))) {
        if (name.tag === 0x81) found.emailAddresses.push(name.content.toString('latin1'))
        else if (name.tag === 0x82) found.dnsNames.push(name.content.toString('latin1'))
        else if (name.tag === 0x86) found.uris.push(name.content.toString('latin1'))
        else if (name.tag === 0x87) found.ipAddresses.push(addressText(name.content))
      }
    }
  }
  return found
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.')
  if (bytes.length !== 16) throw new DerError('an IP address has a wrong length')
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16))
  return words.join(':')
}

/** Makes a request for `key`, signed by it, as PEM. */
export function makeSigningRequest(subject: Subject, names: AlternativeNames, key: KeyObject): string {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const alternatives = generalNames(names)
  const extension = sequence(oid(subjectAltName), octetString(sequence(...alternatives)))
  const attributes =
    alternatives.length === 0 ? context(0) : context(0, sequence(oid(extensionRequest), set(sequence(extension))))
  const info = sequence(integer(Buffer.from([0])), nameOf(subject), publicKey, attributes)
  return pem('CERTIFICATE REQUEST', sequence(info, ecdsaWithSha256, bitString(sign('sha256', info, key))))
}
