// What every engine refuses before it looks at the store.
import type { Operation } from './store.ts'

/** Throws for an empty key, or a key that is written twice. */
export function checkOperations(operations: readonly Operation[]): void {
  for (const { key } of operations) if (key === '') throw new Error('a key must not be empty')
  if (operations.length > 1 && new Set(operations.map((o) => o.key)).size < operations.length)
    throw new Error('a transaction must not write a key twice')
}
