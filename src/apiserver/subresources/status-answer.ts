// The short answer of actions that return no object.
import type { Outcome } from '../responders/outcome.ts'

/** {"kind":"Status","status":"Success"} with 201, as binding and eviction answer. */
export const created = (): Outcome => ({
  kind: 'object',
  status: 201,
  object: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 },
})
