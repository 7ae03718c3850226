// Everything that was ever written to the store, one line each: what two runs with one seed are compared by.
import type { Clock } from '../ports/clock.ts'
import type { Store, StoreEvent } from '../store/store.ts'

export interface Journal {
  /** "12.345 #17 put /registry/pods/default/web {...}": seconds, revision, what, key, value. */
  readonly lines: readonly string[]
  stop(): void
}

/** Writes down what is written from now on. */
export function startJournal(store: Store, clock: Clock): Journal {
  const lines: string[] = []
  const watch = store.watch('', {
    onEvents: (events) => {
      for (const event of events) lines.push(`${(clock.monotonic() / 1000).toFixed(3)} ${lineOf(event)}`)
    },
    onError: () => {},
  })
  return { lines, stop: () => watch.close() }
}

function lineOf(event: StoreEvent): string {
  if (event.type === 'delete') return `#${event.revision} delete ${event.key}`
  const { key, modRevision, value } = event.kv
  return `#${modRevision} put ${key} ${new TextDecoder().decode(value)}`
}
