// What a few resources do around the store beyond their kind's own rules: addresses that are allocated, objects that go
// in two steps. The list in strategies/all.ts names them all; every other resource has none.
import type { KubeObject } from '../api/machinery/meta.ts'
import type { ServerContext } from './context.ts'
import type { ObjectDraft } from './codec.ts'

/** What was taken for a write and is given back when the write does not happen. */
export interface Allocation {
  /** The write is done: gives back what the old object held and the new one does not. */
  commit(): Promise<void>
  rollback(): Promise<void>
}

export interface StorageStrategy {
  readonly group: string
  readonly plural: string
  /** Fills what must be unique in the cluster. Runs after validation of the object, before validating admission. */
  allocate?(
    server: ServerContext,
    draft: ObjectDraft,
    old: KubeObject | undefined,
    dryRun: boolean,
  ): Promise<Allocation | undefined>
  /** The object is gone from the store. */
  released?(server: ServerContext, object: KubeObject): Promise<void>
  /** More reasons than finalizers for an object to stay when its deletion was asked for. */
  holdsOn?(object: KubeObject): boolean
  /** Changes made to an object when its deletion begins (a namespace's phase). */
  markDeleted?(draft: ObjectDraft): void
}
