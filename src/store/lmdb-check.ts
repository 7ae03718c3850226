// Looks at a database file before LMDB maps it into memory: LMDB believes what it reads, so a truncated or overwritten file
// would end the process with a signal instead of a message. Every page of the trees (not the values behind them) must be
// inside the file, know its own number and keep its nodes within its bounds.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { endianness } from 'node:os'

const magic = 0xbeefc0de
const dataVersion = 2
const noPage = 0xffff_ffff_ffff_ffffn
/** Layout of a page: number (8), transaction (8), padding (2), flags (2), end of the pointers (2), start of the nodes (2). */
const pageHeader = 24
const branchFlag = 1
const leafFlag = 2
/** Layout of a meta page: page size, roots of the free list and of the main tree, transaction. */
const meta = { magic: 24, version: 28, pageSize: 48, roots: [88, 136], transaction: 152, end: 168 } as const
/** Layout of a node: low and high half of a size (or of a page number), flags, key size, key, data. */
const nodeHeader = 8
const overflowNode = 1
const treeNode = 2
const treeRecord = { size: 48, root: 40 } as const
const overflowRecord = { size: 24, pages: 16 } as const

/** What is wrong with the file, in a few words; undefined when nothing is. */
export function checkDatabaseFile(path: string): string | undefined {
  if (endianness() !== 'LE') return undefined
  const file = openSync(path, 'r')
  try {
    return new FileCheck(file, fstatSync(file).size).run()
  } finally {
    closeSync(file)
  }
}

class FileCheck {
  private readonly file: number
  private readonly size: number
  private pageSize = 0
  private pages = 0
  private seen = new Uint8Array(0)

  constructor(file: number, size: number) {
    this.file = file
    this.size = size
  }

  run(): string | undefined {
    const first = this.readMeta(0)
    if (typeof first === 'string') return first
    this.pageSize = first.readUInt32LE(meta.pageSize)
    if (this.pageSize < 512 || this.pageSize > 65536 || (this.pageSize & (this.pageSize - 1)) !== 0)
      return 'its page size makes no sense'
    const second = this.readMeta(this.pageSize)
    if (typeof second === 'string') return second
    this.pages = Math.floor(this.size / this.pageSize)
    this.seen = new Uint8Array(this.pages)
    const newest = second.readBigUInt64LE(meta.transaction) > first.readBigUInt64LE(meta.transaction) ? second : first
    const roots = meta.roots.map((at) => newest.readBigUInt64LE(at)).filter((root) => root !== noPage)
    const queue = roots.map(Number)
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const fault = this.checkPage(next, queue)
      if (fault !== undefined) return fault
    }
    return undefined
  }

  private readMeta(at: number): Buffer | string {
    const page = Buffer.alloc(meta.end)
    if (readSync(this.file, page, 0, meta.end, at) < meta.end) return 'the file is cut off'
    if (page.readUInt32LE(meta.magic) !== magic) return 'not a database file'
    if ((page.readUInt32LE(meta.version) & 0xffff) !== dataVersion) return 'its LMDB version is not known'
    return page
  }

  private checkPage(number: number, queue: number[]): string | undefined {
    if (number < 2 || number >= this.pages) return 'the file is cut off'
    if (this.seen[number] === 1) return `page ${number} is used twice`
    this.seen[number] = 1
    const page = Buffer.allocUnsafe(this.pageSize)
    if (readSync(this.file, page, 0, this.pageSize, number * this.pageSize) < this.pageSize)
      return 'the file is cut off'
    const broken = `page ${number} is overwritten`
    const flags = page.readUInt16LE(18)
    const lower = page.readUInt16LE(20)
    const upper = page.readUInt16LE(22)
    const body = this.pageSize - pageHeader
    if (page.readBigUInt64LE(0) !== BigInt(number) || lower > upper || upper > body || lower % 2 !== 0) return broken
    const isBranch = (flags & branchFlag) !== 0
    if (isBranch === ((flags & leafFlag) !== 0)) return broken
    for (let i = 0; i < lower / 2; i++) {
      const at = pageHeader + page.readUInt16LE(pageHeader + 2 * i)
      if (at < pageHeader + upper || at + nodeHeader > this.pageSize) return broken
      const fault = isBranch ? this.checkBranch(page, at, queue) : this.checkLeaf(page, at, queue)
      if (fault !== undefined) return fault === 'broken' ? broken : fault
    }
    return undefined
  }

  private checkBranch(page: Buffer, at: number, queue: number[]): string | undefined {
    queue.push(page.readUInt32LE(at) + page.readUInt16LE(at + 4) * 2 ** 32)
    return at + nodeHeader + page.readUInt16LE(at + 6) > this.pageSize ? 'broken' : undefined
  }

  private checkLeaf(page: Buffer, at: number, queue: number[]): string | undefined {
    const flags = page.readUInt16LE(at + 4)
    const data = at + nodeHeader + page.readUInt16LE(at + 6)
    const isOverflow = (flags & overflowNode) !== 0
    const size = isOverflow ? overflowRecord.size : page.readUInt32LE(at)
    if (data + size > this.pageSize) return 'broken'
    if (isOverflow) {
      const first = Number(page.readBigUInt64LE(data))
      const count = Number(page.readBigUInt64LE(data + overflowRecord.pages))
      return first < 2 || first + count > this.pages ? 'the file is cut off' : undefined
    }
    if ((flags & treeNode) === 0) return undefined
    if (size !== treeRecord.size) return 'broken'
    const root = page.readBigUInt64LE(data + treeRecord.root)
    if (root !== noPage) queue.push(Number(root))
    return undefined
  }
}
