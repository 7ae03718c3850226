// Something that is made to match the whole of what is known, such as packet rules or routes: one run at a time, and
// all that changes meanwhile is served by one more. For work by keys there is the work queue.
import type { Clock, Timer } from '../ports/clock.ts'

export interface SettleLoop {
  /** Something changed: settles soon, and at once where a failed run waits for its retry. */
  readonly poke: () => void
  /** No run begins any more; resolves when the one under way has ended. */
  stop(): Promise<void>
}

/** Nothing runs before the first poke. A run that fails is told to `failed` and tried again after `retryMs`. */
export function createSettleLoop(
  clock: Clock,
  retryMs: number,
  settle: () => Promise<void>,
  failed: (error: unknown) => void,
): SettleLoop {
  let current: Promise<void> | undefined
  let again = false
  let stopped = false
  let retry: Timer | undefined
  function poke(): void {
    if (stopped) return
    again = true
    current ??= run()
  }
  async function run(): Promise<void> {
    while (again && !stopped) {
      // One turn later: the events of one revision arrive together.
      await Promise.resolve()
      again = false
      retry?.cancel()
      try {
        await settle()
      } catch (error) {
        // Boundary: what fails is tried again.
        failed(error)
        if (!stopped) retry = clock.after(retryMs, poke)
      }
    }
    current = undefined
  }
  return {
    poke,
    async stop() {
      stopped = true
      retry?.cancel()
      await current
    },
  }
}
