// Runs tasks in the background, so many at once; the rest waits in line.
export class Lane {
  private readonly parallel: number
  private readonly waiting: (() => Promise<void>)[] = []
  private head = 0
  private running = 0
  private onIdle: (() => void)[] = []
  constructor(parallel: number) {
    this.parallel = parallel
  }
  /** The task must not reject. */
  run(task: () => Promise<void>): void {
    if (this.running >= this.parallel) {
      this.waiting.push(task)
      return
    }
    this.running++
    void this.work(task)
  }
  private async work(first: () => Promise<void>): Promise<void> {
    for (let task: (() => Promise<void>) | undefined = first; task !== undefined; task = this.next()) await task()
    this.running--
    if (this.running > 0) return
    for (const done of this.onIdle) done()
    this.onIdle = []
  }
  private next(): (() => Promise<void>) | undefined {
    const task = this.waiting[this.head]
    if (task === undefined) return undefined
    this.head++
    if (this.head > 1024 && this.head * 2 > this.waiting.length) {
      this.waiting.splice(0, this.head)
      this.head = 0
    }
    return task
  }
  /** Resolves when nothing runs. */
  idle(): Promise<void> {
    return this.running === 0 ? Promise.resolve() : new Promise((done) => this.onIdle.push(done))
  }
}
