// Pulled bytes into a pushed answer, waiting whenever the receiver is behind.
import type { Log } from '../../ports/log.ts'
import type { Sink, StreamHandle } from '../request.ts'

/** Copies `chunks` into `sink`. `stop` is called once when the receiver goes away. */
export function pumpInto(
  sink: Sink<Uint8Array>,
  chunks: AsyncIterable<Uint8Array>,
  stop: () => void,
  log: Log,
): StreamHandle {
  let closed = false
  let wake: (() => void) | undefined
  const run = async () => {
    for await (const chunk of chunks) {
      if (closed) return
      if (chunk.length === 0 || sink.write(chunk)) continue
      await new Promise<void>((done) => {
        wake = done
      })
      if (closed) return
    }
  }
  run()
    .catch((error: unknown) => {
      if (!closed) log.warn('a stream from a node broke', { error: String(error) })
    })
    .finally(() => {
      if (!closed) sink.end()
    })
  return {
    drained() {
      wake?.()
      wake = undefined
    },
    close() {
      if (closed) return
      closed = true
      wake?.()
      stop()
    },
  }
}
