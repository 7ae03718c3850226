// A stream of HTTP/2 as a connection that HTTP/1.1 can run on. Node's own streams lose text written to them (it is sent after
// its buffer has gone to somebody else), and http writes its heads as text: here everything becomes bytes first.
import type { Http2Stream } from 'node:http2'
import { Duplex } from 'node:stream'

/** `stream` belongs to the answer from here on. */
export function streamDuplex(stream: Http2Stream): Duplex {
  const duplex = new Duplex({
    allowHalfOpen: true,
    read: () => void stream.resume(),
    write: (chunk: Uint8Array, _encoding, done) => {
      if (stream.destroyed) done(new Error('the stream is closed'))
      else stream.write(chunk, done)
    },
    final: (done) => {
      if (stream.destroyed || stream.writableEnded) done()
      else stream.end(done)
    },
    destroy: (error, done) => {
      stream.close()
      done(error)
    },
  })
  stream.on('data', (chunk: Uint8Array) => {
    if (!duplex.push(chunk)) stream.pause()
  })
  stream.on('end', () => duplex.push(null))
  stream.on('error', () => duplex.destroy())
  stream.on('close', () => duplex.destroy())
  return duplex
}
