// The system's clock, randomness and log.
import { randomBytes, randomFillSync, randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'

/** setTimeout's limit; a longer delay is waited for in parts. */
const longestTimerMs = 2_000_000_000

/** How often it is looked whether the wall clock was set, and by how much more than it should have moved. */
const lookMs = 5_000
const setByMs = 1_000
const onSet = new Set<() => void>()
let looking: NodeJS.Timeout | undefined
/** One look for all who ask, and none while nobody does. */
function lookForSets(): void {
  const offset = () => Date.now() - performance.now()
  let beforeMs = offset()
  looking ??= setInterval(() => {
    const movedMs = offset() - beforeMs
    beforeMs += movedMs
    if (Math.abs(movedMs) > setByMs) for (const set of onSet) set()
  }, lookMs).unref()
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, run) {
    let timer: NodeJS.Timeout
    const arm = (leftMs: number) => {
      const partMs = Math.min(Math.max(leftMs, 0), longestTimerMs)
      timer = setTimeout(() => (leftMs > partMs ? arm(leftMs - partMs) : run()), partMs)
      timer.unref()
    }
    arm(delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  onSet(set) {
    const own = () => set()
    onSet.add(own)
    lookForSets()
    return {
      cancel() {
        onSet.delete(own)
        if (onSet.size > 0) return
        clearInterval(looking)
        looking = undefined
      },
    }
  },
}

/** Fractions are drawn by the thousand (names of pods, of tokens ...): a call for each would cost more than its use. */
const drawn = new DataView(new ArrayBuffer(4096))
let drawnUsed = drawn.byteLength
function float(): number {
  if (drawnUsed + 8 > drawn.byteLength) {
    randomFillSync(drawn)
    drawnUsed = 0
  }
  const high = drawn.getUint32(drawnUsed)
  const low = drawn.getUint16(drawnUsed + 4)
  drawnUsed += 8
  return (high * 2 ** 16 + low) / 2 ** 48
}

export const systemRandom: Random = {
  float,
  bytes: (length) => randomBytes(length),
  uuid: () => randomUUID(),
}

/** Records go to `logger` (pino). */
export function pinoLog(logger: Logger): Log {
  const write =
    (level: 'debug' | 'info' | 'warn' | 'error') => (message: string, fields?: Readonly<Record<string, unknown>>) =>
      logger[level](fields ?? {}, message)
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => pinoLog(logger.child(fields)),
  }
}
