// One open watch: frames in, frames out to a sink that may fall behind. What waits is bounded in bytes; a watcher that
// stays behind is cut off and must list again, it is never fed from memory without end.
import type { Clock, Timer } from '../../ports/clock.ts'
import type { Sink, StreamHandle } from '../request.ts'
import type { EventFormat, Receiver } from './hub.ts'

/** Frames waiting for a slow receiver may not exceed this. */
const maxWaitingBytes = 16 * 1024 * 1024
const bookmarkPeriodMs = 60_000

export interface WatcherOptions {
  readonly clock: Clock
  readonly timeoutMs: number
  readonly bookmarks: boolean
  /** Everything up to this revision has been delivered. */
  readonly revision: () => number
}

export class Watcher<F> implements Receiver<F>, StreamHandle {
  private readonly sink: Sink<F>
  private readonly format: EventFormat<F>
  private readonly timers: Timer[] = []
  private waiting: F[] = []
  private waitingBytes = 0
  private blocked = false
  private ended = false
  private stop: () => void = () => {}

  constructor(sink: Sink<F>, format: EventFormat<F>, options: WatcherOptions) {
    this.sink = sink
    this.format = format
    const { clock } = options
    this.timers.push(clock.after(options.timeoutMs, () => this.finish()))
    if (options.bookmarks) {
      const beat = () => {
        this.timers[1] = clock.after(bookmarkPeriodMs, () => {
          if (this.ended) return
          this.deliver(format.bookmark(options.revision(), false))
          beat()
        })
      }
      beat()
    }
  }

  /** `stop` is called once, when the watch ends for whatever reason. */
  onEnd(stop: () => void): void {
    if (this.ended) stop()
    else this.stop = stop
  }

  deliver(frame: F): void {
    if (this.ended) return
    if (!this.blocked) {
      this.blocked = !this.sink.write(frame)
      return
    }
    this.waiting.push(frame)
    this.waitingBytes += this.format.sizeOf(frame)
    if (this.waitingBytes > maxWaitingBytes) this.finish()
  }

  cutOff(error?: unknown): void {
    if (this.ended) return
    if (error !== undefined) this.sink.write(this.format.error(error))
    this.finish()
  }

  drained(): void {
    if (this.ended) return
    this.blocked = false
    if (this.waiting.length === 0) return
    const frames = this.waiting
    this.waiting = []
    this.waitingBytes = 0
    const first = frames[0]
    if (first === undefined) return
    this.blocked = !this.sink.write(frames.length === 1 ? first : this.format.join(frames))
  }

  close(): void {
    if (this.ended) return
    this.ended = true
    for (const timer of this.timers) timer.cancel()
    this.waiting = []
    this.stop()
  }

  private finish(): void {
    if (this.ended) return
    this.close()
    this.sink.end()
  }
}
