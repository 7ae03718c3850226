// A binary heap whose members can be removed and moved by identity.
export class Heap<T extends object> {
  private readonly items: T[] = []
  private readonly positions = new Map<T, number>()
  private readonly less: (a: T, b: T) => boolean
  constructor(less: (a: T, b: T) => boolean) {
    this.less = less
  }
  get size(): number {
    return this.items.length
  }
  has(item: T): boolean {
    return this.positions.has(item)
  }
  peek(): T | undefined {
    return this.items[0]
  }
  push(item: T): void {
    if (this.positions.has(item)) return
    this.items.push(item)
    this.positions.set(item, this.items.length - 1)
    this.up(this.items.length - 1)
  }
  pop(): T | undefined {
    const first = this.items[0]
    if (first !== undefined) this.remove(first)
    return first
  }
  remove(item: T): boolean {
    const at = this.positions.get(item)
    if (at === undefined) return false
    this.positions.delete(item)
    const last = this.items.pop()
    if (last !== undefined && last !== item) {
      this.place(last, at)
      this.up(at)
      this.down(this.positions.get(last) ?? at)
    }
    return true
  }
  values(): Iterable<T> {
    return this.items
  }
  private place(item: T, at: number): void {
    this.items[at] = item
    this.positions.set(item, at)
  }
  private up(from: number): void {
    let at = from
    const item = this.items[at]
    if (item === undefined) return
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = this.items[above]
      if (parent === undefined || !this.less(item, parent)) break
      this.place(parent, at)
      at = above
    }
    this.place(item, at)
  }
  private down(from: number): void {
    let at = from
    const item = this.items[at]
    if (item === undefined) return
    for (;;) {
      let below = 2 * at + 1
      let child = this.items[below]
      if (child === undefined) break
      const other = this.items[below + 1]
      if (other !== undefined && this.less(other, child)) {
        below++
        child = other
      }
      if (!this.less(child, item)) break
      this.place(child, at)
      at = below
    }
    this.place(item, at)
  }
}
