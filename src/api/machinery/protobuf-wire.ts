// Protobuf's wire format, as little of it as Kubernetes uses. The writer fills its buffer from the end to the start, so
// that the length of a nested message is known when its header is written and nothing is measured twice.

export const VARINT = 0
export const FIXED64 = 1
export const LENGTH = 2
const FIXED32 = 5

/** The bytes are no protobuf message. */
export class WireError extends Error {}

const utf8 = new TextEncoder()
const text = new TextDecoder()

export class Writer {
  private buffer = new Uint8Array(512)
  private view = new DataView(this.buffer.buffer)
  /** First byte in use. */
  private start = this.buffer.length

  private room(count: number): void {
    if (this.start >= count) return
    const used = this.buffer.length - this.start
    const bigger = new Uint8Array(Math.max(this.buffer.length * 2, used + count))
    bigger.set(this.buffer.subarray(this.start), bigger.length - used)
    this.buffer = bigger
    this.view = new DataView(bigger.buffer)
    this.start = bigger.length - used
  }
  /** How many bytes are written: the difference of two marks is the length of what lies between them. */
  mark(): number {
    return this.buffer.length - this.start
  }
  bytes(): Uint8Array {
    return this.buffer.slice(this.start)
  }

  /** A whole number up to 2^53, negative ones as 64-bit two's complement. */
  varint(value: number): void {
    if (value >= 0 && value < 0x80) {
      this.room(1)
      this.buffer[--this.start] = value
      return
    }
    if (value < 0 || value > 0x7fffffff) return this.bigVarint(BigInt.asUintN(64, BigInt(value)))
    const size = value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5
    this.room(size)
    this.start -= size
    let rest = value
    for (let i = 0; i < size - 1; i++, rest >>>= 7) this.buffer[this.start + i] = (rest & 0x7f) | 0x80
    this.buffer[this.start + size - 1] = rest
  }
  private bigVarint(value: bigint): void {
    const out: number[] = []
    for (let rest = value; ; rest >>= 7n) {
      const low = Number(rest & 0x7fn)
      if (rest <= 0x7fn) {
        out.push(low)
        break
      }
      out.push(low | 0x80)
    }
    this.raw(Uint8Array.from(out))
  }
  double(value: number): void {
    this.room(8)
    this.start -= 8
    this.view.setFloat64(this.start, value, true)
  }
  raw(bytes: Uint8Array): void {
    this.room(bytes.length)
    this.start -= bytes.length
    this.buffer.set(bytes, this.start)
  }
  string(value: string): void {
    const { length } = value
    this.room(length)
    const at = this.start - length
    for (let i = 0; i < length; i++) {
      const c = value.charCodeAt(i)
      if (c > 0x7f) return this.raw(utf8.encode(value))
      this.buffer[at + i] = c
    }
    this.start = at
  }
  tag(number: number, wire: number): void {
    this.varint(number * 8 + wire)
  }
  /** Closes a field of bytes that was begun at `mark`: its length and its tag. */
  header(number: number, mark: number): void {
    this.varint(this.mark() - mark)
    this.tag(number, LENGTH)
  }
}

export class Reader {
  private readonly buffer: Uint8Array
  private readonly view: DataView
  position: number
  readonly end: number
  constructor(buffer: Uint8Array, start = 0, end = buffer.length) {
    this.buffer = buffer
    this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    this.position = start
    this.end = end
  }
  done(): boolean {
    return this.position >= this.end
  }
  private byte(): number {
    if (this.position >= this.end) throw new WireError('unexpected EOF')
    return this.buffer[this.position++] as number
  }
  /** Field number times 8 plus wire type; throws WireError on nonsense. */
  tag(): number {
    const tag = this.unsigned()
    if (tag < 8 || tag > 0xffffffff)
      throw new WireError(`proto: illegal tag ${Math.floor(tag / 8)} (wire type ${tag % 8})`)
    return tag
  }
  /** Up to 2^53; larger values lose precision. */
  unsigned(): number {
    let value = 0
    let factor = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.byte()
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
      factor *= 128
    }
    throw new WireError('proto: integer overflow')
  }
  /** A 64-bit two's complement number; beyond 2^53 the nearest. */
  signed(): number {
    const from = this.position
    const value = this.unsigned()
    if (value <= Number.MAX_SAFE_INTEGER) return value
    let big = 0n
    for (let i = from; i < this.position; i++)
      big |= BigInt((this.buffer[i] as number) & 0x7f) << BigInt(7 * (i - from))
    return Number(BigInt.asIntN(64, big))
  }
  double(): number {
    if (this.position + 8 > this.end) throw new WireError('unexpected EOF')
    this.position += 8
    return this.view.getFloat64(this.position - 8, true)
  }
  /** Steps over a field of bytes and answers where it ends. */
  span(): number {
    const length = this.unsigned()
    const end = this.position + length
    if (end > this.end) throw new WireError('unexpected EOF')
    return end
  }
  /** A reader over a nested message; this one goes on after it. */
  nested(): Reader {
    const end = this.span()
    const inner = new Reader(this.buffer, this.position, end)
    this.position = end
    return inner
  }
  bytes(): Uint8Array {
    const end = this.span()
    const out = this.buffer.subarray(this.position, end)
    this.position = end
    return out
  }
  string(): string {
    const bytes = this.bytes()
    if (bytes.length < 32) {
      let out = ''
      for (const byte of bytes) {
        if (byte > 0x7f) return text.decode(bytes)
        out += String.fromCharCode(byte)
      }
      return out
    }
    return text.decode(bytes)
  }
  /** Steps over a field that nobody knows. */
  skip(wire: number): void {
    if (wire === VARINT) this.unsigned()
    else if (wire === LENGTH) this.position = this.span()
    else if (wire === FIXED64 || wire === FIXED32) {
      this.position += wire === FIXED64 ? 8 : 4
      if (this.position > this.end) throw new WireError('unexpected EOF')
    } else throw new WireError(`proto: illegal wireType ${wire}`)
  }
}

/** Base64 text of bytes. */
export function toBase64(bytes: Uint8Array): string {
  let binary = ''
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192))
  return btoa(binary)
}
export function fromBase64(base64: string): Uint8Array {
  const binary = atob(base64)
  const out = new Uint8Array(binary.length)
  for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i)
  return out
}
