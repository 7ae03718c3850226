// What a handler answers before it is put into the form that the client wants.
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { TableDefinition } from '../../api/machinery/kind.ts'
import type { ApiResponse } from '../request.ts'
import type { Entry } from '../storage/collection.ts'

export type Outcome =
  /** A stored object of the request's resource. */
  | { readonly kind: 'entry'; readonly status: number; readonly entry: Entry }
  /** An object of the request's resource that is not stored as it is (dry-run). In the stored version. */
  | { readonly kind: 'unstored'; readonly status: number; readonly object: object }
  /** Any other object, in its final version: Status, Scale, TokenRequest, Table. */
  | {
      readonly kind: 'object'
      readonly status: number
      readonly object: object
      /** How it is printed; without one it is answered as it is, however it was asked for. */
      readonly table?: TableDefinition<never>
    }
  | {
      readonly kind: 'list'
      readonly entries: readonly Entry[]
      /** The entries as the request's version shows them, where that is not what lies in the store. */
      readonly objects?: readonly KubeObject[]
      readonly revision: number
      readonly continue: string | undefined
      readonly remaining: number | undefined
      /** Names the entries where others may ask for the same ones: the question, and when they were read. */
      readonly state?: { readonly key: string; readonly changedAt: number }
    }
  /** Already in its final form. */
  | { readonly kind: 'response'; readonly response: ApiResponse }
