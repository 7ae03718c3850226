// coordination.k8s.io/v1 Lease: heartbeats and leader election.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { type Infer, int32, microTime, object, optional, struct } from '../machinery/schema.ts'
import { pointerText } from '../core/scalars.ts'
import { ageColumn, column, nameColumn } from '../core/workload-table.ts'

const LEASE = 'io.k8s.api.coordination.v1.'
const leaseSpec = object(`${LEASE}LeaseSpec`, {
  holderIdentity: pointerText(1),
  leaseDurationSeconds: optional(2, int32()),
  acquireTime: optional(3, microTime()),
  renewTime: optional(4, microTime()),
  leaseTransitions: optional(5, int32()),
  strategy: pointerText(6),
  preferredHolder: pointerText(7),
})
export interface LeaseSpec extends Infer<typeof leaseSpec> {}
const schema = kindSchema(`${LEASE}Lease`, { spec: struct(2, leaseSpec) })
export interface Lease extends ObjectOf<typeof schema> {}

export const leases = defineKind<Lease>({
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  singular: 'lease',
  namespaced: true,
  schema,
  storagePrefix: '/registry/leases',
  createOnUpdate: true,
  unconditionalUpdate: false,
  table: {
    columns: [nameColumn, column('Holder'), ageColumn],
    row: (o, nowMs) => [o.metadata.name, o.spec.holderIdentity ?? '', ageCell(o.metadata.creationTimestamp, nowMs)],
  },
  validate: ({ spec }) => {
    const errors: FieldError[] = []
    if (spec.leaseDurationSeconds !== undefined && spec.leaseDurationSeconds <= 0)
      errors.push(invalidField('spec.leaseDurationSeconds', spec.leaseDurationSeconds, 'must be greater than 0'))
    if (spec.leaseTransitions !== undefined && spec.leaseTransitions < 0)
      errors.push(invalidField('spec.leaseTransitions', spec.leaseTransitions, 'must be greater than or equal to 0'))
    return errors
  },
})
