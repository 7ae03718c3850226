// A bounded memory of what was used lately, in two generations: when the young one is full it becomes the old one and
// the old one is forgotten. No linked lists; at most twice `limit` values are alive. Whoever has a clock calls `age`, so that what
// a burst left behind does not stay for ever.
export class Recent<K extends object, V> {
  private young = new Map<K, V>()
  private old = new Map<K, V>()
  private readonly limit: number

  constructor(limit: number) {
    this.limit = limit
  }
  get(key: K): V | undefined {
    const value = this.young.get(key)
    if (value !== undefined) return value
    const older = this.old.get(key)
    if (older === undefined) return undefined
    this.old.delete(key)
    this.set(key, older)
    return older
  }
  set(key: K, value: V): void {
    if (this.young.size >= this.limit) {
      this.old = this.young
      this.young = new Map()
    }
    this.young.set(key, value)
  }
  /** What was asked for neither since this call nor since the one before it is forgotten. */
  age(): void {
    this.old = this.young
    this.young = new Map()
  }
  delete(key: K): void {
    this.young.delete(key)
    this.old.delete(key)
  }
}
