// Bodies of whole lists that are asked for again and again while nothing changes (many controllers starting at once, a
// dashboard): the second request for the same list of the same moment keeps the joined items, the third is free.
import type { Collection, Entry } from '../storage/collection.ts'
import type { ListHead, View } from './view.ts'

/** Smaller lists are joined anew each time; larger ones are kept at most in this number. */
const minBytes = 64 * 1024
const maxKept = 4

interface Hot {
  readonly collection: Collection
  readonly changedAt: number
  items: Uint8Array | undefined
}

export class HotLists {
  private readonly lists = new Map<string, Hot>()
  private readonly followed = new WeakSet<Collection>()

  /** The two parts of a list's body; `state` is the question and the moment at which `entries` were read; undefined where it is better made in one piece. */
  body(
    collection: Collection,
    state: { readonly key: string; readonly changedAt: number },
    view: View,
    entries: readonly Entry[],
    head: ListHead,
  ): { readonly body: Uint8Array; readonly rest: Uint8Array } | undefined {
    if (view.split === undefined || entries.length < 64) return undefined
    const id = `${collection.prefix} ${view.events.id} ${state.key}`
    const known = this.lists.get(id)
    if (known === undefined || known.changedAt !== state.changedAt) {
      this.remember(id, { collection, changedAt: state.changedAt, items: undefined })
      return undefined
    }
    if (known.items === undefined) {
      const items = view.split.items(entries)
      if (items.length >= minBytes) known.items = items
      return { body: view.split.head(head), rest: items }
    }
    return { body: view.split.head(head), rest: known.items }
  }

  private remember(id: string, hot: Hot): void {
    this.follow(hot.collection)
    this.lists.delete(id)
    this.lists.set(id, hot)
    for (const oldest of this.lists.keys()) {
      if (this.lists.size <= maxKept) break
      this.lists.delete(oldest)
    }
  }

  /** Lets go of a collection's lists as soon as it changes. */
  private follow(collection: Collection): void {
    if (this.followed.has(collection)) return
    this.followed.add(collection)
    const drop = () => {
      for (const [id, hot] of this.lists) if (hot.collection === collection) this.lists.delete(id)
    }
    collection.listen({ changed: drop, reset: drop })
  }
}
