// A producer that pushes, as an iterable that is pulled; subresources/pump.ts is the other way round.
import type { Sink, StreamHandle } from './request.ts'

/** Items that wait for their reader; beyond it the producer is told to wait. */
const highWater = 1000

/** `open` is called at once, so that nothing is missed; `signal` or a reader that leaves closes the producer. */
export function pulled<T>(open: (sink: Sink<T>) => StreamHandle, signal: AbortSignal | undefined): AsyncIterable<T> {
  let queue: T[] = []
  let ended = false
  let blocked = false
  let wake: (() => void) | undefined
  const rouse = () => {
    wake?.()
    wake = undefined
  }
  const handle = open({
    write(item) {
      queue.push(item)
      rouse()
      blocked = queue.length >= highWater
      return !blocked
    },
    end() {
      ended = true
      rouse()
    },
  })
  const stop = () => {
    ended = true
    queue = []
    handle.close()
    rouse()
  }
  signal?.addEventListener('abort', stop)
  if (signal?.aborted) stop()
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          while (queue.length > 0) {
            const items = queue
            queue = []
            yield* items
          }
          if (blocked) {
            blocked = false
            handle.drained()
            if (queue.length > 0) continue
          }
          if (ended) return
          await new Promise<void>((done) => {
            wake = done
          })
        }
      } finally {
        signal?.removeEventListener('abort', stop)
        stop()
      }
    },
  }
}
