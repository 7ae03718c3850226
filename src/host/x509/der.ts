// Just enough DER (X.690) for certificates and signing requests: values out as nested buffers, values in as a tree. Issuing
// a certificate is a page of this; a library for it costs a third of a second at the start of the process.

export interface Der {
  /** Tag byte: class, constructed bit and number. */
  readonly tag: number
  /** Content without tag and length. */
  readonly content: Buffer
  /** Tag, length and content as they came. */
  readonly raw: Buffer
}

export const encode = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts)
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  const bytes: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest & 0xff)
  return Buffer.concat([Buffer.from([tag, 0x80 | bytes.length, ...bytes]), content])
}
export const sequence = (...parts: readonly Uint8Array[]): Buffer => encode(0x30, ...parts)
export const set = (...parts: readonly Uint8Array[]): Buffer => encode(0x31, ...parts)
/** [number] EXPLICIT or constructed. */
export const context = (number: number, ...parts: readonly Uint8Array[]): Buffer => encode(0xa0 | number, ...parts)
/** [number] IMPLICIT primitive. */
export const contextPrimitive = (number: number, content: Uint8Array): Buffer => encode(0x80 | number, content)
export const boolean = (value: boolean): Buffer => encode(0x01, Buffer.from([value ? 0xff : 0]))
/** A non-negative INTEGER of big-endian bytes. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const magnitude = bytes.subarray(start)
  const negative = ((magnitude[0] ?? 0) & 0x80) !== 0
  return encode(0x02, negative ? Buffer.from([0]) : Buffer.alloc(0), magnitude)
}
export const octetString = (content: Uint8Array): Buffer => encode(0x04, content)
export const bitString = (content: Uint8Array, unusedBits = 0): Buffer =>
  encode(0x03, Buffer.from([unusedBits]), content)
export const utf8String = (text: string): Buffer => encode(0x0c, Buffer.from(text))

/** An object identifier in dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes: number[] = [first * 40 + second]
  for (const arc of rest) {
    const group = [arc & 0x7f]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) group.unshift((left & 0x7f) | 0x80)
    bytes.push(...group)
  }
  return encode(0x06, Buffer.from(bytes))
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280, 4.1.2.5). */
export function time(ms: number): Buffer {
  const text = `${new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`
  return Number(text.slice(0, 4)) < 2050 ? encode(0x17, Buffer.from(text.slice(2))) : encode(0x18, Buffer.from(text))
}

export class DerError extends Error {}

/** Reads one value. Throws DerError for what is no DER. */
export function decode(bytes: Buffer): Der {
  const value = readAt(bytes, 0)
  if (value.raw.length !== bytes.length) throw new DerError('bytes after the end of the structure')
  return value
}
/** The values inside a constructed one. */
export function children(value: Der): Der[] {
  const out: Der[] = []
  for (let at = 0; at < value.content.length; ) {
    const child = readAt(value.content, at)
    out.push(child)
    at += child.raw.length
  }
  return out
}
function readAt(bytes: Buffer, at: number): Der {
  const tag = bytes[at]
  const first = bytes[at + 1]
  if (tag === undefined || first === undefined) throw new DerError('the structure is cut short')
  if ((tag & 0x1f) === 0x1f) throw new DerError('tags beyond 30 are not used here')
  let length = first
  let start = at + 2
  if (first & 0x80) {
    const count = first & 0x7f
    if (count === 0 || count > 4) throw new DerError('a length is malformed')
    length = 0
    for (let i = 0; i < count; i++) length = length * 256 + (bytes[start + i] ?? 0)
    start += count
  }
  if (start + length > bytes.length) throw new DerError('the structure is cut short')
  return { tag, content: bytes.subarray(start, start + length), raw: bytes.subarray(at, start + length) }
}

/** The dotted form of an object identifier. */
export function readOid(value: Der): string {
  if (value.tag !== 0x06) throw new DerError('an object identifier was expected')
  const arcs: number[] = []
  let arc = 0
  for (const byte of value.content) {
    arc = arc * 128 + (byte & 0x7f)
    if (byte & 0x80) continue
    if (arcs.length === 0) arcs.push(Math.min(2, Math.floor(arc / 40)), arc - Math.min(2, Math.floor(arc / 40)) * 40)
    else arcs.push(arc)
    arc = 0
  }
  return arcs.join('.')
}

export function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
/** The bytes of the first PEM block with this label. Throws DerError. */
export function unpem(label: string, text: string): Buffer {
  const match = new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]+)-----END ${label}-----`).exec(text)
  if (match?.[1] === undefined) throw new DerError(`no PEM block of type ${label}`)
  return Buffer.from(match[1].replace(/\s/g, ''), 'base64')
}
