// What an admission plugin sees and may do. Plugins run in the order of all.ts: every mutate first, then, after
// validation of the object, every validate.
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Draft, JsonObject, ObjectSchema } from '../../api/machinery/schema.ts'
import type { ResourceRequest, ServerContext } from '../context.ts'
import type { AuditNotes, UserInfo } from '../request.ts'
import type { ServedResource } from '../resources.ts'
import { Mutations } from './mutations.ts'

export type AdmissionOperation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'

/** A kind that a subresource speaks of instead of the resource's own: Binding, Eviction, PodExecOptions ... */
export interface BodyShape {
  readonly apiVersion: string
  readonly kind: string
  /** Undefined where nothing may change it. */
  readonly schema?: ObjectSchema
}
/** How a subresource shows its object to webhooks and policies as a kind of its own (scale). */
export interface Facade {
  readonly shape: BodyShape
  show(object: KubeObject): JsonObject
  /** Carries a change of what was shown over to the object. */
  take(draft: Draft<KubeObject>, shown: JsonObject): void
}

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
  /** What `object` is, where it is no object of the resource. */
  readonly shape?: BodyShape
  readonly facade?: Facade | undefined
  /** CreateOptions, UpdateOptions or DeleteOptions; undefined for CONNECT. */
  readonly options: JsonObject | undefined
  readonly warnings: string[]
  /** Takes annotations for the audit log, where the request is audited. */
  readonly audit: AuditNotes | undefined
}

export interface AdmissionPlugin {
  readonly name: string
  /** False where the plugin has nothing to say: a cheap test that runs for every write. */
  handles(request: AdmissionRequest): boolean
  /** Changes `request.object` in place, or refuses by throwing ApiError. May run a second time for the same object. */
  mutate?(request: AdmissionRequest, server: ServerContext, mutations: Mutations): void | Promise<void>
  /** Refuses by throwing ApiError. Must not change the object. */
  validate?(request: AdmissionRequest, server: ServerContext): void | Promise<void>
}

/** Runs every mutation; once more when an extension changed what others had seen before. True where an extension (a
 * webhook, a policy) changed the object. */
export async function mutateAdmission(request: AdmissionRequest, server: ServerContext): Promise<boolean> {
  const mutations = new Mutations()
  await mutateOnce(request, server, mutations)
  if (mutations.begin()) await mutateOnce(request, server, mutations)
  return mutations.changed
}
async function mutateOnce(request: AdmissionRequest, server: ServerContext, mutations: Mutations): Promise<void> {
  for (const plugin of server.admission) {
    if (plugin.mutate === undefined || !plugin.handles(request)) continue
    const pending = plugin.mutate(request, server, mutations)
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

const bare = {
  CreateOptions: Object.freeze({ kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' }),
  UpdateOptions: Object.freeze({ kind: 'UpdateOptions', apiVersion: 'meta.k8s.io/v1' }),
} as const
/** The options of a write as the object that admission sees. */
export function writeOptions({ info }: ResourceRequest, kind: keyof typeof bare): JsonObject {
  const { query } = info
  if (query.size === 0) return bare[kind]
  const dryRun = query.getAll('dryRun')
  const fieldManager = query.get('fieldManager') ?? ''
  const fieldValidation = query.get('fieldValidation') ?? ''
  return {
    ...bare[kind],
    ...(dryRun.length === 0 ? {} : { dryRun }),
    ...(fieldManager === '' ? {} : { fieldManager }),
    ...(fieldValidation === '' ? {} : { fieldValidation }),
  }
}
