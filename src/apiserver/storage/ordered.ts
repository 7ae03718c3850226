// Entries in key order, in chunks: an insert moves at most one chunk's pointers, so that the cost of a write does not
// grow with the number of objects, and a range is read without sorting.
const chunkLimit = 512

export interface Keyed {
  readonly key: string
}

export class Ordered<E extends Keyed> {
  private readonly byKey = new Map<string, E>()
  private chunks: E[][] = []

  get size(): number {
    return this.byKey.size
  }
  get(key: string): E | undefined {
    return this.byKey.get(key)
  }
  clear(): void {
    this.byKey.clear()
    this.chunks = []
  }

  /** Adds or replaces. */
  set(entry: E): void {
    const replaced = this.byKey.has(entry.key)
    this.byKey.set(entry.key, entry)
    const c = this.chunkFor(entry.key)
    const chunk = this.chunks[c]
    if (chunk === undefined) {
      this.chunks.push([entry])
      return
    }
    const at = lowerBound(chunk, entry.key)
    if (replaced) {
      chunk[at] = entry
      return
    }
    chunk.splice(at, 0, entry)
    if (chunk.length > chunkLimit) this.chunks.splice(c + 1, 0, chunk.splice(chunkLimit >> 1))
  }

  delete(key: string): E | undefined {
    const entry = this.byKey.get(key)
    if (entry === undefined) return undefined
    this.byKey.delete(key)
    const c = this.chunkFor(key)
    const chunk = this.chunks[c]
    if (chunk === undefined) return entry
    chunk.splice(lowerBound(chunk, key), 1)
    if (chunk.length === 0) this.chunks.splice(c, 1)
    return entry
  }

  /** Entries whose key begins with `prefix`, in order, the first one greater than `after`. */
  *range(prefix: string, after?: string): IterableIterator<E> {
    const from = after !== undefined && after >= prefix ? after : prefix
    let c = this.chunkFor(from)
    let chunk = this.chunks[c]
    if (chunk === undefined) return
    let at = lowerBound(chunk, from)
    if (after !== undefined && chunk[at]?.key === after) at++
    while (chunk !== undefined) {
      for (; at < chunk.length; at++) {
        const entry = chunk[at]
        if (entry === undefined) continue
        if (!entry.key.startsWith(prefix)) return
        yield entry
      }
      chunk = this.chunks[++c]
      at = 0
    }
  }

  /** range() as an array, without the generator's cost per entry. */
  slice(prefix: string): E[] {
    const out: E[] = []
    let c = this.chunkFor(prefix)
    for (let chunk = this.chunks[c]; chunk !== undefined; chunk = this.chunks[++c]) {
      const first = chunk[0]
      const last = chunk[chunk.length - 1]
      if (first === undefined || last === undefined) continue
      if (first.key.startsWith(prefix) && last.key.startsWith(prefix)) {
        for (const entry of chunk) out.push(entry)
        continue
      }
      for (const entry of chunk) {
        if (entry.key.startsWith(prefix)) out.push(entry)
        else if (entry.key > prefix) return out
      }
    }
    return out
  }

  /** The chunk that holds `key` or would. */
  private chunkFor(key: string): number {
    let low = 0
    let high = this.chunks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      const first = this.chunks[middle]?.[0]
      if (first !== undefined && first.key <= key) low = middle
      else high = middle - 1
    }
    return low
  }
}

function lowerBound(chunk: readonly Keyed[], key: string): number {
  let low = 0
  let high = chunk.length
  while (low < high) {
    const middle = (low + high) >> 1
    const entry = chunk[middle]
    if (entry !== undefined && entry.key < key) low = middle + 1
    else high = middle
  }
  return low
}
