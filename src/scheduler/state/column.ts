// A growing column of whole numbers, addressed by node slot or topology domain; zero (or `empty`) where nothing was written.
export class Column {
  private data: Int32Array
  private readonly empty: number
  constructor(empty = 0) {
    this.empty = empty
    this.data = new Int32Array(64).fill(empty)
  }
  get(i: number): number {
    return this.data[i] ?? this.empty
  }
  set(i: number, value: number): void {
    if (i >= this.data.length) this.grow(i)
    this.data[i] = value
  }
  add(i: number, value: number): number {
    const sum = this.get(i) + value
    this.set(i, sum)
    return sum
  }
  private grow(i: number): void {
    const grown = new Int32Array(Math.max(i + 1, this.data.length * 2)).fill(this.empty)
    grown.set(this.data)
    this.data = grown
  }
}
