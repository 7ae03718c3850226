// coordination.k8s.io/v1beta1 LeaseCandidate: who would hold a Lease (KEP-4355). Off unless asked for.
import { type FieldError, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { microTime, object, optional, required, string } from '../machinery/schema.ts'
import { inVersion, sameShape } from '../machinery/versions.ts'

const P = 'io.k8s.api.coordination.v1beta1.'
const leaseCandidateSpec = object(`${P}LeaseCandidateSpec`, {
  leaseName: required(1, string()),
  pingTime: optional(2, microTime()),
  renewTime: optional(3, microTime()),
  binaryVersion: required(4, string()),
  emulationVersion: optional(5, string()),
  strategy: required(6, string(), { pointer: true }),
})
const leaseCandidate = kindSchema(`${P}LeaseCandidate`, {
  spec: required(2, leaseCandidateSpec),
})

export interface LeaseCandidate extends ObjectOf<typeof leaseCandidate> {}
const versionsOf = ({ spec }: LeaseCandidate): FieldError[] =>
  spec.strategy === 'OldestEmulationVersion' && (spec.emulationVersion ?? '') === ''
    ? [requiredField('spec.emulationVersion', 'must be specified when strategy is OldestEmulationVersion')]
    : []

export const leaseCandidates = defineKind<LeaseCandidate>({
  group: 'coordination.k8s.io',
  version: 'v1beta1',
  kind: 'LeaseCandidate',
  plural: 'leasecandidates',
  singular: 'leasecandidate',
  namespaced: true,
  schema: leaseCandidate,
  storagePrefix: '/registry/leasecandidates',
  versions: [sameShape('coordination.k8s.io', 'v1alpha2', inVersion(leaseCandidate, P, 'v1alpha2'))],
  validate: versionsOf,
  validateUpdate: versionsOf,
})
