// A queue of bytes between one producer and one consumer, bounded by what the producer is willing to wait for: `push`
// resolves at once while less than `limitBytes` are waiting, and else when the consumer has caught up.

export interface ByteQueue extends AsyncIterable<Uint8Array> {
  /** Bytes that nobody wants any more are dropped. */
  push(chunk: Uint8Array): Promise<void> | undefined
  /** The consumer sees the end after what is queued; idempotent. */
  end(): void
  /** The consumer sees `error` after what is queued. */
  fail(error: Error): void
}

/** `onTaken` hears how many bytes the consumer took, for flow control. */
export function createByteQueue(limitBytes: number, onTaken: (bytes: number) => void = () => {}): ByteQueue {
  const chunks: Uint8Array[] = []
  let queued = 0
  let finished: { readonly error: Error | undefined } | undefined
  let abandoned = false
  let wakeConsumer = () => {}
  let wakeProducer = () => {}
  let room: Promise<void> | undefined

  const finish = (error: Error | undefined) => {
    finished ??= { error }
    wakeConsumer()
  }
  const abandon = () => {
    abandoned = true
    onTaken(queued)
    chunks.length = 0
    queued = 0
    wakeProducer()
  }
  return {
    push(chunk) {
      if (abandoned) {
        onTaken(chunk.length)
        return undefined
      }
      if (finished !== undefined || chunk.length === 0) return undefined
      chunks.push(chunk)
      queued += chunk.length
      wakeConsumer()
      if (queued < limitBytes) return undefined
      room ??= new Promise<void>((resolve) => {
        wakeProducer = () => {
          room = undefined
          resolve()
        }
      })
      return room
    },
    end: () => finish(undefined),
    fail: finish,
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          const chunk = chunks.shift()
          if (chunk !== undefined) {
            queued -= chunk.length
            onTaken(chunk.length)
            if (queued < limitBytes / 2) wakeProducer()
            yield chunk
          } else if (finished !== undefined) {
            if (finished.error !== undefined) throw finished.error
            return
          } else
            await new Promise<void>((resolve) => {
              wakeConsumer = resolve
            })
        }
      } finally {
        abandon()
      }
    },
  }
}
