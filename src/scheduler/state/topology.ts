// One topology key (zone, hostname ...): its values as small integers, and for every node the value it has. Counts by
// domain are then columns, and looking one up for a node is two array reads.
import type { Labels } from '../../api/machinery/labels.ts'
import { Column } from './column.ts'

/** The domain of a node without the label. */
export const noDomain = -1

export class Topology {
  readonly key: string
  private readonly ids = new Map<string, number>()
  private readonly bySlot = new Column(noDomain)
  constructor(key: string) {
    this.key = key
  }
  domainOf(slot: number): number {
    return this.bySlot.get(slot)
  }
  /** How many values were ever seen: domains are 0 to this, exclusively. */
  get size(): number {
    return this.ids.size
  }
  /** Takes over the labels of the node in the slot, undefined for none. */
  place(slot: number, labels: Labels | undefined): void {
    const value = labels?.[this.key]
    if (typeof value !== 'string') return this.bySlot.set(slot, noDomain)
    let id = this.ids.get(value)
    if (id === undefined) {
      id = this.ids.size
      this.ids.set(value, id)
    }
    this.bySlot.set(slot, id)
  }
}
