// The runtime's log format: "2016-10-06T00:17:09.669794202Z stdout F text" a line, where P instead of F says that the
// text goes on in the next line. Works on bytes; a chunk of many lines becomes one chunk of text.

const newline = 10
const space = 32

export interface LineOptions {
  readonly timestamps: boolean
  /** Lines older than this are left out; RFC 3339 with nanoseconds in UTC compares as text. */
  readonly since: string | undefined
  readonly stream: 'stdout' | 'stderr' | undefined
}

const isStderr = (bytes: Uint8Array, at: number) => bytes[at + 3] === 101

/** Turns whole log lines into what the container wrote. Keeps what is left of the last, unfinished line. */
export class LogDecoder {
  readonly #options: LineOptions
  readonly #since: Uint8Array | undefined
  #rest: Uint8Array = new Uint8Array()
  /** The next piece begins a line of the container's. */
  #atLineStart = true
  constructor(options: LineOptions) {
    this.#options = options
    this.#since = options.since === undefined ? undefined : new TextEncoder().encode(options.since)
  }
  /** Text of the lines that are complete with this chunk. */
  push(chunk: Uint8Array): Uint8Array {
    const bytes = this.#rest.length === 0 ? chunk : concat([this.#rest, chunk])
    const pieces: Uint8Array[] = []
    let at = 0
    for (let end = bytes.indexOf(newline, at); end !== -1; end = bytes.indexOf(newline, at)) {
      this.#line(bytes, at, end, pieces)
      at = end + 1
    }
    this.#rest = at === bytes.length ? new Uint8Array() : bytes.slice(at)
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : concat(pieces)
  }
  #line(bytes: Uint8Array, start: number, end: number, pieces: Uint8Array[]): void {
    const afterTime = bytes.indexOf(space, start)
    if (afterTime === -1 || afterTime >= end) return
    const afterStream = bytes.indexOf(space, afterTime + 1)
    if (afterStream === -1 || afterStream >= end) return
    const spaceAfterTag = bytes.indexOf(space, afterStream + 1)
    const textStart = spaceAfterTag === -1 || spaceAfterTag > end ? end : spaceAfterTag + 1
    const { stream, timestamps } = this.#options
    if (stream !== undefined && isStderr(bytes, afterTime + 1) !== (stream === 'stderr')) return
    if (this.#since !== undefined && compare(bytes.subarray(start, afterTime), this.#since) < 0) return
    const partial = bytes[afterStream + 1] === 80
    if (timestamps && this.#atLineStart) pieces.push(bytes.subarray(start, afterTime + 1))
    pieces.push(bytes.subarray(textStart, partial ? end : end + 1))
    this.#atLineStart = !partial
  }
}

/** Length of 2024-01-01T00:00:00; a fraction of any length may follow, then Z. */
const wholeSeconds = 19
const zero = 48
function compare(a: Uint8Array, b: Uint8Array): number {
  const digit = (bytes: Uint8Array, i: number) => {
    const byte = bytes[i]
    return byte === undefined || byte < zero || byte > 57 ? zero : byte
  }
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = i < wholeSeconds ? (a[i] ?? 0) - (b[i] ?? 0) : digit(a, i) - digit(b, i)
    if (difference !== 0) return difference
  }
  return 0
}
export function concat(pieces: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const piece of pieces) length += piece.length
  const out = new Uint8Array(length)
  let at = 0
  for (const piece of pieces) {
    out.set(piece, at)
    at += piece.length
  }
  return out
}
