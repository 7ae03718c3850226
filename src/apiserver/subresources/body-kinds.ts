// Kinds that only subresources hold.
import { tokenRequests } from '../../api/authentication/authentication.ts'
import { deleteOptions, kindSchema } from '../../api/machinery/meta.ts'
import type { NamedKind } from '../../api/machinery/openapi.ts'
import { int32, object, optional, required, string, struct } from '../../api/machinery/schema.ts'

const AUTOSCALING = 'io.k8s.api.autoscaling.v1.'
export const scaleKind: NamedKind = {
  group: 'autoscaling',
  version: 'v1',
  kind: 'Scale',
  schema: kindSchema(`${AUTOSCALING}Scale`, {
    spec: struct(2, object(`${AUTOSCALING}ScaleSpec`, { replicas: optional(1, int32(), { publishDefault: true }) })),
    status: struct(
      3,
      object(`${AUTOSCALING}ScaleStatus`, { replicas: required(1, int32()), selector: optional(2, string()) }),
    ),
  }),
}
export const evictionKind: NamedKind = {
  group: 'policy',
  version: 'v1',
  kind: 'Eviction',
  schema: kindSchema('io.k8s.api.policy.v1.Eviction', { deleteOptions: optional(2, deleteOptions) }),
}
export const tokenRequestKind = tokenRequests as unknown as NamedKind

export const bodyKinds: readonly NamedKind[] = [scaleKind, evictionKind, tokenRequestKind]
