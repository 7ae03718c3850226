// SPDY/3.1 frames as bytes (https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/), as far as Kubernetes
// uses them. Header blocks go out as stored (uncompressed) deflate blocks: valid for every inflater, and stateless.
import { Buffer } from 'node:buffer'
import { constants, createInflate, type Inflate } from 'node:zlib'

export const frameTypes = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  headers: 8,
  windowUpdate: 9,
} as const
export const flagFin = 1
/** Default window of a stream and of a session, in bytes. */
export const initialWindow = 64 << 10
const maxControlBytes = 1 << 20
const maxHeaderBytes = 256 << 10

export interface ControlFrame {
  readonly control: true
  readonly type: number
  readonly flags: number
  readonly payload: Buffer
}
export interface DataFrame {
  readonly control: false
  readonly streamId: number
  readonly flags: number
  readonly payload: Buffer
}

export class SpdyError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'SpdyError'
  }
}

/** Cuts bytes into frames. Data is handed on as it comes: a frame in several parts, only the last with its flags. */
export async function* readFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<ControlFrame | DataFrame> {
  let rest: Buffer = Buffer.alloc(0)
  /** What is still to come of a data frame. */
  let open: { streamId: number; flags: number; left: number } | undefined
  for await (const chunk of source) {
    const fresh = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    rest = rest.length === 0 ? fresh : Buffer.concat([rest, fresh])
    for (;;) {
      if (open !== undefined) {
        if (rest.length === 0 && open.left > 0) break
        const payload: Buffer = rest.subarray(0, open.left)
        rest = rest.subarray(payload.length)
        open.left -= payload.length
        yield { control: false, streamId: open.streamId, flags: open.left === 0 ? open.flags : 0, payload }
        if (open.left === 0) open = undefined
        continue
      }
      if (rest.length < 8) break
      const word = rest.readUInt32BE(0)
      const flags = rest.readUInt8(4)
      const length = rest.readUIntBE(5, 3)
      if (word < 0x80000000) {
        open = { streamId: word, flags, left: length }
        rest = rest.subarray(8)
        continue
      }
      if (((word >>> 16) & 0x7fff) !== 3) throw new SpdyError(`SPDY version ${(word >>> 16) & 0x7fff} is not spoken`)
      if (length > maxControlBytes) throw new SpdyError(`SPDY control frame of ${length} bytes`)
      if (rest.length < 8 + length) break
      yield { control: true, type: word & 0xffff, flags, payload: rest.subarray(8, 8 + length) }
      rest = rest.subarray(8 + length)
    }
  }
  if (rest.length > 0 || open !== undefined) throw new SpdyError('the connection ended within a SPDY frame')
}

export function controlFrame(type: number, flags: number, payload: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(8 + payload.length)
  out.writeUInt16BE(0x8003, 0)
  out.writeUInt16BE(type, 2)
  out.writeUInt8(flags, 4)
  out.writeUIntBE(payload.length, 5, 3)
  out.set(payload, 8)
  return out
}
export function dataFrame(streamId: number, flags: number, payload: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(8 + payload.length)
  out.writeUInt32BE(streamId, 0)
  out.writeUInt8(flags, 4)
  out.writeUIntBE(payload.length, 5, 3)
  out.set(payload, 8)
  return out
}
/** A payload of 32-bit numbers: RST_STREAM, PING, GOAWAY, WINDOW_UPDATE. */
export function words(...values: readonly number[]): Buffer {
  const out = Buffer.allocUnsafe(values.length * 4)
  values.forEach((value, i) => out.writeUInt32BE(value, i * 4))
  return out
}

export type SpdyHeaders = Readonly<Record<string, string>>

/** Header blocks of one direction of a connection: their compressed bytes are one continuous zlib stream. */
export interface HeaderEncoder {
  encode(headers: SpdyHeaders): Buffer
}
export function createHeaderEncoder(): HeaderEncoder {
  let first = true
  return {
    encode(headers) {
      const entries = Object.entries(headers)
      const parts: Buffer[] = [words(entries.length)]
      for (const [name, value] of entries)
        for (const text of [name.toLowerCase(), value]) {
          const bytes = Buffer.from(text)
          parts.push(words(bytes.length), bytes)
        }
      const plain = Buffer.concat(parts)
      const out: Buffer[] = []
      if (first) out.push(Buffer.from([0x78, 0xbb]), words(dictionaryId))
      first = false
      for (let at = 0; at < plain.length; at += 0xffff) out.push(stored(plain.subarray(at, at + 0xffff)))
      // An empty block tells the inflater to hand out what it has (a sync flush).
      out.push(stored(Buffer.alloc(0)))
      return Buffer.concat(out)
    },
  }
}
function stored(bytes: Buffer): Buffer {
  const head = Buffer.allocUnsafe(5)
  head.writeUInt8(0, 0)
  head.writeUInt16LE(bytes.length, 1)
  head.writeUInt16LE(~bytes.length & 0xffff, 3)
  return Buffer.concat([head, bytes])
}

export interface HeaderDecoder {
  decode(block: Uint8Array): Promise<SpdyHeaders>
  close(): void
}
export function createHeaderDecoder(): HeaderDecoder {
  const inflate: Inflate = createInflate({ dictionary, finishFlush: constants.Z_SYNC_FLUSH })
  let output: Buffer[] = []
  let size = 0
  let failed: Error | undefined
  let onFailure = () => {}
  inflate.on('error', (error) => {
    failed = new SpdyError(`SPDY headers cannot be inflated: ${error.message}`)
    onFailure()
  })
  inflate.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > maxHeaderBytes) inflate.destroy(new Error('header block is too large'))
    else output.push(chunk)
  })
  return {
    async decode(block) {
      output = []
      size = 0
      await new Promise<void>((resolve) => {
        onFailure = resolve
        inflate.write(block, () => inflate.flush(constants.Z_SYNC_FLUSH, resolve))
      })
      if (failed !== undefined) throw failed
      return parseHeaders(Buffer.concat(output))
    },
    close: () => inflate.close(),
  }
}
function parseHeaders(block: Buffer): SpdyHeaders {
  const headers: Record<string, string> = {}
  let at = 0
  const number = () => {
    if (at + 4 > block.length) throw new SpdyError('SPDY header block ends early')
    at += 4
    return block.readUInt32BE(at - 4)
  }
  const text = () => {
    const length = number()
    if (at + length > block.length) throw new SpdyError('SPDY header block ends early')
    at += length
    return block.toString('utf8', at - length, at)
  }
  for (let left = number(); left > 0; left--) {
    const name = text().toLowerCase()
    headers[name] = text().split('\0')[0] ?? ''
  }
  return headers
}

/** The words that both sides' compressors know from the start (section 2.6.10.1), each preceded by its length. */
const dictionaryWords =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow ' +
  'authorization cache-control connection content-base content-encoding content-language content-length ' +
  'content-location content-md5 content-range content-type date etag expect expires from host if-match ' +
  'if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma ' +
  'proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade ' +
  'user-agent vary via warning www-authenticate method get status'
const dictionaryTail =
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505' +
  '203 Non-Authoritative Information' +
  '204 No Content' +
  '301 Moved Permanently' +
  '400 Bad Request' +
  '401 Unauthorized' +
  '403 Forbidden' +
  '404 Not Found' +
  '500 Internal Server Error' +
  '501 Not Implemented' +
  '503 Service Unavailable' +
  'Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec' +
  ' 00:00:00' +
  ' Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT' +
  'chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,' +
  'publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.'
const withLength = (text: string) => Buffer.concat([words(text.length), Buffer.from(text)])
export const dictionary = Buffer.concat([
  ...dictionaryWords.split(' ').map(withLength),
  ...['200 OK', 'version', 'HTTP/1.1', 'url', 'public', 'set-cookie', 'keep-alive', 'origin'].map(withLength),
  Buffer.from(dictionaryTail),
])
/** Names the dictionary in the first bytes of a header stream; the specification's is 0xe3c6a7c2. */
export const dictionaryId = adler32(dictionary)
function adler32(bytes: Uint8Array): number {
  let a = 1
  let b = 0
  for (const byte of bytes) {
    a = (a + byte) % 65521
    b = (b + a) % 65521
  }
  return b * 65536 + a
}
