// What an admission plugin sees and may do. Plugins run in the order of all.ts: every mutate first, then, after
// validation of the object, every validate.
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import type { ServerContext } from '../context.ts'
import type { UserInfo } from '../request.ts'
import type { ServedResource } from '../resources.ts'

export type AdmissionOperation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'

export interface AdmissionRequest {
  readonly operation: AdmissionOperation
  readonly resource: ServedResource
  readonly namespace: string
  /** Empty on create with generateName until the name is made. */
  readonly name: string
  readonly subresource: string
  readonly user: UserInfo
  readonly dryRun: boolean
  /** The object being written, in the stored version; undefined for DELETE. Of a subresource with a body of its own
   * (binding, eviction, token, scale) that body. */
  readonly object: Draft<KubeObject> | undefined
  readonly oldObject: KubeObject | undefined
  /** DeleteOptions and the like. */
  readonly options: unknown
  readonly warnings: string[]
}

export interface AdmissionPlugin {
  readonly name: string
  /** False where the plugin has nothing to say: a cheap test that runs for every write. */
  handles(request: AdmissionRequest): boolean
  /** Changes `request.object` in place, or refuses by throwing ApiError. */
  mutate?(request: AdmissionRequest, server: ServerContext): void | Promise<void>
  /** Refuses by throwing ApiError. Must not change the object. */
  validate?(request: AdmissionRequest, server: ServerContext): void | Promise<void>
}

export async function mutateAdmission(request: AdmissionRequest, server: ServerContext): Promise<void> {
  for (const plugin of server.admission) {
    if (plugin.mutate === undefined || !plugin.handles(request)) continue
    const pending = plugin.mutate(request, server)
    if (pending !== undefined) await pending
  }
}
export async function validateAdmission(request: AdmissionRequest, server: ServerContext): Promise<void> {
  for (const plugin of server.admission) {
    if (plugin.validate === undefined || !plugin.handles(request)) continue
    const pending = plugin.validate(request, server)
    if (pending !== undefined) await pending
  }
}
