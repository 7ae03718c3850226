// Streams of the simulation: a pipe that is an async iterable, and a connection that speaks just enough HTTP/1.1.
import type { StreamOptions, StreamSession } from '../ports/container-runtime.ts'
import type { HttpProbeAnswer } from '../ports/prober.ts'
import type { ByteStream } from '../ports/transport.ts'

/** What is pushed comes out in order; `end` ends it once everything is taken. */
export class Pipe implements AsyncIterable<Uint8Array> {
  private readonly chunks: Uint8Array[] = []
  private ended = false
  private wake: (() => void) | undefined

  push(bytes: Uint8Array): void {
    if (this.ended || bytes.length === 0) return
    this.chunks.push(bytes)
    this.wake?.()
  }
  end(): void {
    this.ended = true
    this.wake?.()
  }
  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const next = this.chunks.shift()
      if (next !== undefined) yield next
      else if (this.ended) return
      else
        await new Promise<void>((done) => {
          this.wake = done
        })
    }
  }
}

/** A connection to a simulated container: every request head is answered, bodies are ignored. */
export function httpConnection(answer: (path: string) => HttpProbeAnswer): ByteStream {
  const out = new Pipe()
  let head = ''
  return {
    readable: out,
    async write(bytes) {
      head += new TextDecoder().decode(bytes)
      for (let end = head.indexOf('\r\n\r\n'); end >= 0; end = head.indexOf('\r\n\r\n')) {
        const path = /^\w+ (\S+)/.exec(head)?.[1] ?? '/'
        head = head.slice(end + 4)
        const said = answer(path)
        if (!said.ok) {
          out.end()
          return
        }
        const { length } = new TextEncoder().encode(said.body)
        const text = `HTTP/1.1 ${said.status} OK\r\ncontent-type: text/plain\r\ncontent-length: ${length}\r\n\r\n${said.body}`
        out.push(new TextEncoder().encode(text))
      }
    },
    async end() {
      out.end()
    },
    destroy() {
      out.end()
    },
  }
}

/** A session of exec or attach over two pipes; what is written to it is lost. `onClose` is called when the caller leaves it. */
export function session(
  options: StreamOptions,
  stdout: Pipe,
  stderr: Pipe,
  result: StreamSession['result'],
  onClose: () => void,
): StreamSession {
  return {
    ...(options.stdin ? { stdin: { write: () => Promise.resolve(), end: () => Promise.resolve() } } : {}),
    ...(options.stdout ? { stdout } : {}),
    ...(options.stderr && !options.tty ? { stderr } : {}),
    resize: () => Promise.resolve(),
    result,
    close() {
      onClose()
      stdout.end()
      stderr.end()
    },
  }
}
