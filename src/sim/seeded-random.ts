// xoshiro128**, seeded through splitmix32: small, fast, good enough for everything but secrets, and the same everywhere.
import type { Random } from '../ports/random.ts'

export interface SeededRandom extends Random {
  /** A whole number in [0, below). */
  below(below: number): number
  /** A source of its own, decided by this one's seed and a name: what one part draws does not move another's luck. */
  fork(name: string): SeededRandom
}

/** A source of randomness that is a function of its seed. */
export function seededRandom(seed: number | string): SeededRandom {
  const start = hash(String(seed))
  let mixer = start
  const splitmix = () => {
    mixer = (mixer + 0x9e3779b9) | 0
    let x = mixer
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
    return (x ^ (x >>> 16)) >>> 0
  }
  let [a, b, c, d] = [splitmix(), splitmix(), splitmix(), splitmix()]
  const next = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0
    const t = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = rotate(d, 11)
    return result
  }
  const bytes = (length: number): Uint8Array => {
    const out = new Uint8Array(length)
    for (let i = 0; i < length; i += 4) {
      const word = next()
      for (let j = 0; j < 4 && i + j < length; j++) out[i + j] = (word >>> (8 * j)) & 255
    }
    return out
  }
  const float = () => next() / 2 ** 32
  return {
    float,
    bytes,
    below: (below) => Math.floor(float() * below),
    fork: (name) => seededRandom(`${seed}/${name}`),
    uuid() {
      const raw = bytes(16)
      raw[6] = ((raw[6] ?? 0) & 15) | 64
      raw[8] = ((raw[8] ?? 0) & 63) | 128
      const hex = Array.from(raw, (byte) => byte.toString(16).padStart(2, '0')).join('')
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
    },
  }
}

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by))

/** FNV-1a of the text's code units. */
export function hash(text: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value >>> 0
}
