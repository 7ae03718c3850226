// How many seats each priority level may use: its share of the server, less what it lends, more what it borrows.
// The names and formulas are those of "API Priority and Fairness": NominalCL, MinCL, MaxCL, CurrentCL.
// (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#priority-levels)
import type { PriorityLevelConfiguration } from '../../api/flowcontrol/flow-control.ts'

/** Seats of one priority level, whole numbers. */
export interface SeatBounds {
  readonly nominal: number
  /** What others cannot borrow from it. */
  readonly min: number
  /** With everything that it may borrow. */
  readonly max: number
}
/** Seats that a level wanted lately, executing and waiting. */
export interface SeatDemand extends SeatBounds {
  /** The most that it wanted at one moment since the last plan. */
  readonly high: number
  /** The same, falling slowly. */
  readonly smooth: number
}

const sharesOf = ({ spec }: PriorityLevelConfiguration): number =>
  spec.type === 'Exempt' ? (spec.exempt?.nominalConcurrencyShares ?? 0) : (spec.limited?.nominalConcurrencyShares ?? 30)

/** The bounds of every level, in order, of a server that works on `serverSeats` requests at once. */
export function boundsOf(levels: readonly PriorityLevelConfiguration[], serverSeats: number): SeatBounds[] {
  const total = Math.max(
    1,
    levels.reduce((sum, level) => sum + sharesOf(level), 0),
  )
  return levels.map((level) => {
    const nominal = Math.ceil((serverSeats * sharesOf(level)) / total)
    const { limited, exempt } = level.spec
    const lendable = Math.round((nominal * (limited?.lendablePercent ?? exempt?.lendablePercent ?? 0)) / 100)
    const borrowing = limited?.borrowingLimitPercent
    const max = borrowing === undefined ? serverSeats : nominal + Math.round((nominal * borrowing) / 100)
    return { nominal, min: nominal - lendable, max: Math.max(nominal, max) }
  })
}

/** Deals `serverSeats` out: every level gets what it needs of its own, and what is over goes to those who want more, in
 * proportion to what they want. The answer is in order and at least 1 each for a level with any share. */
export function planLimits(levels: readonly SeatDemand[], serverSeats: number): number[] {
  const limitAt = (level: SeatDemand, fraction: number): number => {
    const floor = Math.max(level.min, Math.min(level.nominal, level.high))
    return Math.min(level.max, Math.max(floor, fraction * Math.max(level.min, level.smooth)))
  }
  const sumAt = (fraction: number): number => levels.reduce((sum, level) => sum + limitAt(level, fraction), 0)
  let low = 0
  let high = 1
  while (sumAt(high) < serverSeats && high < serverSeats * 2) high *= 2
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2
    if (sumAt(middle) < serverSeats) low = middle
    else high = middle
  }
  return levels.map((level) => Math.max(level.nominal > 0 ? 1 : 0, Math.round(limitAt(level, high))))
}
