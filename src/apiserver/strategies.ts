// What a few resources do around the store beyond their kind's own rules: addresses that are allocated, objects that go
// in two steps. The list in strategies/all.ts names them all; every other resource has none.
import type { KubeObject } from '../api/machinery/meta.ts'
import type { ObjectDraft } from './codec.ts'
import type { ServerContext } from './context.ts'
import type { UserInfo } from './request.ts'
import type { Companion } from './storage/write.ts'

export interface StorageStrategy {
  readonly group: string
  readonly plural: string
  /** Fills what must be unique in the cluster, and answers the records of it, which are written in the same transaction
   * as the object: either both are there or neither. Called again, with a fresh draft, when a record was taken. Runs
   * after validation, before validating admission. */
  allocate?(
    server: ServerContext,
    draft: ObjectDraft,
    old: KubeObject | undefined,
  ): Promise<readonly Companion[]> | readonly Companion[]
  /** Writes into a new object who made it. */
  claim?(draft: ObjectDraft, user: UserInfo): void
  /** Records that go with the object when it is removed. */
  release?(server: ServerContext, object: KubeObject): readonly Companion[]
  /** More reasons than finalizers for an object to stay when its deletion was asked for. */
  holdsOn?(object: KubeObject): boolean
  /** Changes made to an object when its deletion begins (a namespace's phase). */
  markDeleted?(draft: ObjectDraft): void
}
