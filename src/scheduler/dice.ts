// Quick draws between equal nodes: seeded once from the random port, because a cycle may draw hundreds of times.
import type { Random } from '../ports/random.ts'

/** Answers fractions in [0, 1); mulberry32. */
export function createDice(random: Random): () => number {
  let state = Math.floor(random.float() * 2 ** 32)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
