// One priority level: so many seats, and queues for those who find none free. A flow is dealt a small hand of the queues
// and waits in the shortest, so that few flows share all of their queues with a noisy one (shuffle sharding). The next to
// be seated is the queue that has had the least service so far (start-time fair queueing): every queue carries a tag in
// seat-milliseconds that grows by what its requests cost.
import { ApiError } from '../../api/machinery/errors.ts'
import type { Clock, Timer } from '../../ports/clock.ts'

/** A place in the server's work; must be given back exactly once. */
export interface Seat {
  release(): void
}
export interface QueueSettings {
  readonly queues: number
  readonly handSize: number
  readonly queueLengthLimit: number
}
interface Waiter {
  readonly width: number
  readonly deadlineMs: number
  readonly seated: (seat: Seat) => void
  readonly refused: (error: ApiError) => void
}
interface Queue {
  readonly index: number
  waiters: Waiter[]
  /** Waiters before this one are gone. */
  head: number
  waitingSeats: number
  /** When the queue's next request may start, in virtual seat-milliseconds. */
  startTag: number
}
export type RefusalReason = 'queue-full' | 'concurrency-limit' | 'time-out'

/** How long a request waits for a seat: a quarter of the time that a request may take. */
const queueWaitMs = 15_000
/** What a request is taken to cost before its level has finished any. */
const firstGuessMs = 5
const rememberedHands = 4096

export class PriorityLevel {
  readonly name: string
  private readonly clock: Clock
  /** Called when more seats are wanted than there are. */
  private readonly onPressure: () => void
  private limit = 1
  private settings: QueueSettings | undefined
  private queues: Queue[] = []
  private readonly hands = new Map<string, readonly number[]>()
  private executing = 0
  private waiting = 0
  private waitingSeats = 0
  /** Start tag of the request that was seated last. */
  private virtualNow = 0
  private usualMs = firstGuessMs
  private highDemand = 0
  private timer: Timer | undefined
  readonly refused: Record<RefusalReason, number> = { 'queue-full': 0, 'concurrency-limit': 0, 'time-out': 0 }

  constructor(name: string, clock: Clock, onPressure: () => void) {
    this.name = name
    this.clock = clock
    this.onPressure = onPressure
  }

  /** Undefined settings: who finds no seat is refused. Requests that wait already keep waiting. */
  configure(settings: QueueSettings | undefined): void {
    const same = settings?.queues === this.settings?.queues && settings?.handSize === this.settings?.handSize
    this.settings = settings
    if (same) return
    this.hands.clear()
    const kept = this.queues.filter((queue) => lengthOf(queue) > 0)
    const count = settings?.queues ?? 0
    this.queues = Array.from({ length: Math.max(count, kept.length) }, (_, index) => {
      const old = kept[index]
      return old === undefined ? emptyQueue(index, this.virtualNow) : { ...old, index }
    })
  }
  get seats(): { readonly limit: number; readonly executing: number; readonly waiting: number } {
    return { limit: this.limit, executing: this.executing, waiting: this.waiting }
  }
  setLimit(seats: number): void {
    this.limit = seats
    this.dispatch()
  }
  /** The most seats wanted at one moment since the last time it was asked. */
  takeHighDemand(): number {
    const high = this.highDemand
    this.highDemand = this.executing + this.waitingSeats
    return high
  }

  /** A seat of `width`, at once where there is one. Rejects with TooManyRequests. */
  enter(flow: string, width: number): Seat | Promise<Seat> {
    // Wider than the whole level would never fit.
    const fitting = Math.min(width, this.limit)
    if (this.waiting === 0 && this.executing + fitting <= this.limit) {
      this.note()
      return this.seat(fitting, undefined)
    }
    if (this.settings === undefined) throw this.refusal('concurrency-limit')
    return this.wait(this.settings, flow, fitting)
  }

  private wait(settings: QueueSettings, flow: string, width: number): Promise<Seat> {
    const queue = this.shortestOf(this.handOf(settings, flow))
    if (queue === undefined || lengthOf(queue) >= settings.queueLengthLimit) throw this.refusal('queue-full')
    if (lengthOf(queue) === 0) queue.startTag = Math.max(queue.startTag, this.virtualNow)
    this.waiting++
    this.waitingSeats += width
    queue.waitingSeats += width
    this.note()
    const seat = new Promise<Seat>((seated, refused) => {
      queue.waiters.push({ width, deadlineMs: this.clock.monotonic() + queueWaitMs, seated, refused })
    })
    this.timer ??= this.clock.after(queueWaitMs, () => this.expire())
    this.onPressure()
    this.dispatch()
    return seat
  }

  private note(): void {
    const demand = this.executing + this.waitingSeats + 1
    if (demand > this.highDemand) this.highDemand = demand
  }

  private seat(width: number, queue: Queue | undefined): Seat {
    this.executing += width
    const started = this.clock.monotonic()
    const guess = this.usualMs
    let given = true
    return {
      release: () => {
        if (!given) return
        given = false
        this.executing -= width
        const tookMs = this.clock.monotonic() - started
        this.usualMs += (tookMs - this.usualMs) / 16
        // The queue was charged a guess; now it is known.
        if (queue !== undefined) queue.startTag += width * (tookMs - guess)
        if (this.waiting > 0) this.dispatch()
      },
    }
  }

  private dispatch(): void {
    while (this.waiting > 0) {
      const queue = this.nextQueue()
      const waiter = queue?.waiters[queue.head]
      if (queue === undefined || waiter === undefined || this.executing + waiter.width > this.limit) return
      this.virtualNow = Math.max(this.virtualNow, queue.startTag)
      queue.startTag += waiter.width * this.usualMs
      this.take(queue)
      waiter.seated(this.seat(waiter.width, queue))
    }
  }
  private nextQueue(): Queue | undefined {
    let next: Queue | undefined
    for (const queue of this.queues) {
      if (lengthOf(queue) > 0 && (next === undefined || queue.startTag < next.startTag)) next = queue
    }
    return next
  }
  /** Takes the first waiter out. */
  private take(queue: Queue): void {
    const waiter = queue.waiters[queue.head]
    if (waiter === undefined) return
    queue.head++
    if (queue.head === queue.waiters.length) {
      queue.waiters = []
      queue.head = 0
    }
    queue.waitingSeats -= waiter.width
    this.waitingSeats -= waiter.width
    this.waiting--
  }

  /** Refuses who has waited too long. */
  private expire(): void {
    const now = this.clock.monotonic()
    let next = Number.POSITIVE_INFINITY
    for (const queue of this.queues) {
      for (;;) {
        const first = queue.waiters[queue.head]
        if (first === undefined) break
        if (first.deadlineMs > now) {
          next = Math.min(next, first.deadlineMs)
          break
        }
        this.take(queue)
        first.refused(this.refusal('time-out'))
      }
    }
    this.timer = next === Number.POSITIVE_INFINITY ? undefined : this.clock.after(next - now, () => this.expire())
  }

  private refusal(reason: RefusalReason): ApiError {
    this.refused[reason]++
    return new ApiError('TooManyRequests', 'Too many requests, please try again later.', { retryAfterSeconds: 1 })
  }

  private handOf({ queues, handSize }: QueueSettings, flow: string): readonly number[] {
    const known = this.hands.get(flow)
    if (known !== undefined) return known
    if (this.hands.size >= rememberedHands) this.hands.clear()
    const hand = dealHand(flow, queues, handSize)
    this.hands.set(flow, hand)
    return hand
  }
  private shortestOf(hand: readonly number[]): Queue | undefined {
    let best: Queue | undefined
    for (const index of hand) {
      const queue = this.queues[index]
      if (queue !== undefined && (best === undefined || queue.waitingSeats < best.waitingSeats)) best = queue
    }
    return best
  }

  /** Refuses everybody who waits, and waits for nothing any more. */
  close(): void {
    this.timer?.cancel()
    this.timer = undefined
    for (const queue of this.queues) {
      for (let first = queue.waiters[queue.head]; first !== undefined; first = queue.waiters[queue.head]) {
        this.take(queue)
        first.refused(this.refusal('time-out'))
      }
    }
  }
}

const emptyQueue = (index: number, startTag: number): Queue => ({
  index,
  waiters: [],
  head: 0,
  waitingSeats: 0,
  startTag,
})
const lengthOf = (queue: Queue): number => queue.waiters.length - queue.head

/** `handSize` different queues out of `queues`, the same for the same flow: cards dealt from a deck by a hash. */
export function dealHand(flow: string, queues: number, handSize: number): readonly number[] {
  let entropy = hash53(flow)
  const hand: number[] = []
  for (let left = queues; left > queues - handSize; left--) {
    let card = entropy % left
    entropy = Math.floor(entropy / left)
    // The card counts those that are still in the deck.
    for (const taken of hand.toSorted((a, b) => a - b)) if (taken <= card) card++
    hand.push(card)
  }
  return hand
}

/** 53 bits of FNV-1a, two lanes. */
function hash53(text: string): number {
  let a = 0x811c9dc5
  let b = 0x9dc5811c
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    a = Math.imul(a ^ code, 0x01000193)
    b = Math.imul(b ^ code, 0x85ebca6b)
    b ^= b >>> 13
  }
  a ^= a >>> 15
  a = Math.imul(a, 0xc2b2ae35)
  a ^= a >>> 16
  return (a >>> 0) * 0x200000 + (b >>> 11)
}
