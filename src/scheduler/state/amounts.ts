// Resource amounts as plain numbers: thousandths of a cpu, bytes or pieces of everything else. Resource names become small
// integers, so that what a node has and what a pod asks for are arrays, and a comparison is one subtraction.
import { quantityMilliValue, quantityValue } from '../../api/machinery/quantity.ts'

export const CPU = 0
export const MEMORY = 1
export const EPHEMERAL_STORAGE = 2

/** Names and numbers of resources; the first three are fixed. */
export class ResourceNames {
  readonly names: string[] = ['cpu', 'memory', 'ephemeral-storage']
  private readonly ids = new Map(this.names.map((name, id) => [name, id]))
  idOf(name: string): number {
    let id = this.ids.get(name)
    if (id === undefined) {
      id = this.names.length
      this.names.push(name)
      this.ids.set(name, id)
    }
    return id
  }
  nameOf(id: number): string {
    return this.names[id] ?? ''
  }
}

const remembered = 4096
function cached(compute: (text: string) => number): (text: string) => number {
  const known = new Map<string, number>()
  return (text) => {
    let value = known.get(text)
    if (value === undefined) {
      value = compute(text)
      if (known.size >= remembered) known.clear()
      known.set(text, value)
    }
    return value
  }
}
const milliOf = cached(quantityMilliValue)
const unitsOf = cached(quantityValue)

/** A quantity of the resource as a number. */
export const amountOf = (id: number, text: string): number => (id === CPU ? milliOf(text) : unitsOf(text))
/** Bytes of a quantity. */
export const bytesOf = (text: string): number => unitsOf(text)

/** Amounts by resource number; what was never set is zero. */
export class Amounts {
  private values: number[] = [0, 0, 0]
  get length(): number {
    return this.values.length
  }
  get(id: number): number {
    return this.values[id] ?? 0
  }
  set(id: number, amount: number): void {
    while (this.values.length <= id) this.values.push(0)
    this.values[id] = amount
  }
  add(id: number, amount: number): void {
    this.set(id, this.get(id) + amount)
  }
}
