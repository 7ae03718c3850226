// Who changed an object on its way through admission. When a webhook or a policy changes what others have seen, those that
// asked for it (reinvocationPolicy: IfNeeded) see it once more, in a second round.
import { equal } from '../../api/machinery/equal.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import type { JsonObject } from '../../api/machinery/schema.ts'

/** The rounds of one request. */
export class Mutations {
  /** An extension changed the object. */
  changed = false
  /** The second round. */
  again = false
  private wanted = false
  private readonly invocations = new Map<string, Invocations>()

  /** Begins the second round; false where none is needed. */
  begin(): boolean {
    this.again = this.wanted
    return this.wanted
  }
  /** What one plugin has invoked so far. */
  of(plugin: string): Invocations {
    let found = this.invocations.get(plugin)
    if (found === undefined) {
      found = new Invocations(this)
      this.invocations.set(plugin, found)
    }
    return found
  }
  noteChange(): void {
    this.changed = true
    this.wanted = true
  }
}

export class Invocations {
  private readonly mutations: Mutations
  private readonly invoked = new Set<string>()
  private readonly due = new Set<string>()
  private left: unknown
  constructor(mutations: Mutations) {
    this.mutations = mutations
  }
  /** Whether somebody is to be invoked in this round. */
  isDue(id: string): boolean {
    return !this.mutations.again || this.due.has(id)
  }
  /** A round begins: what others changed since the last one is news to all. */
  begin(object: unknown): void {
    if (this.mutations.again && this.invoked.size > 0 && !equal(object as JsonObject, this.left as JsonObject))
      this.allDue()
  }
  /** `id` has seen the object. */
  done(id: string, changed: boolean, reinvocable: boolean): void {
    if (changed) {
      this.allDue()
      this.mutations.noteChange()
    }
    this.due.delete(id)
    if (reinvocable) this.invoked.add(id)
  }
  /** The round ends and leaves the object like this. */
  end(object: unknown): void {
    if (this.invoked.size > 0) this.left = draftOf(object)
  }
  private allDue(): void {
    for (const id of this.invoked) this.due.add(id)
  }
}
