// An ordered map from strings to values, made of sorted chunks of a few hundred keys: one binary search over the chunks,
// one inside, and a short memmove. It beats a tree at every size that fits in memory and is a tenth of its code.
// Order is JavaScript's string order, which is byte order for ASCII keys.

const maxChunk = 512

interface Chunk<V> {
  readonly keys: string[]
  readonly values: V[]
}

export class SortedKeys<V> {
  private readonly chunks: Chunk<V>[] = []
  private count = 0

  get size(): number {
    return this.count
  }

  get(key: string): V | undefined {
    const chunk = this.chunks[this.chunkOf(key)]
    if (chunk === undefined) return undefined
    const at = lowerBound(chunk.keys, key)
    return chunk.keys[at] === key ? chunk.values[at] : undefined
  }

  set(key: string, value: V): void {
    if (this.chunks.length === 0) {
      this.chunks.push({ keys: [key], values: [value] })
      this.count = 1
      return
    }
    const index = Math.min(this.chunkOf(key), this.chunks.length - 1)
    const chunk = this.chunks[index] as Chunk<V>
    const at = lowerBound(chunk.keys, key)
    if (chunk.keys[at] === key) {
      chunk.values[at] = value
      return
    }
    chunk.keys.splice(at, 0, key)
    chunk.values.splice(at, 0, value)
    this.count++
    if (chunk.keys.length > maxChunk) {
      const half = chunk.keys.length >> 1
      this.chunks.splice(index + 1, 0, { keys: chunk.keys.splice(half), values: chunk.values.splice(half) })
    }
  }

  delete(key: string): boolean {
    const index = this.chunkOf(key)
    const chunk = this.chunks[index]
    if (chunk === undefined) return false
    const at = lowerBound(chunk.keys, key)
    if (chunk.keys[at] !== key) return false
    chunk.keys.splice(at, 1)
    chunk.values.splice(at, 1)
    this.count--
    if (chunk.keys.length === 0) this.chunks.splice(index, 1)
    return true
  }

  /** Visits keys in order from `start` (included unless `exclusive`) until `visit` answers false. */
  visit(start: string, exclusive: boolean, visit: (key: string, value: V) => boolean): void {
    let index = this.chunkOf(start)
    let chunk = this.chunks[index]
    if (chunk === undefined) return
    let at = lowerBound(chunk.keys, start)
    if (exclusive && chunk.keys[at] === start) at++
    while (chunk !== undefined) {
      const { keys, values } = chunk
      for (; at < keys.length; at++) if (!visit(keys[at] as string, values[at] as V)) return
      at = 0
      index++
      chunk = this.chunks[index]
    }
  }

  /** Index of the first chunk whose last key is not below `key`; the number of chunks when there is none. */
  private chunkOf(key: string): number {
    const { chunks } = this
    let low = 0
    let high = chunks.length
    while (low < high) {
      const middle = (low + high) >> 1
      const { keys } = chunks[middle] as Chunk<V>
      if ((keys[keys.length - 1] as string) < key) low = middle + 1
      else high = middle
    }
    return low
  }
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((keys[middle] as string) < key) low = middle + 1
    else high = middle
  }
  return low
}
