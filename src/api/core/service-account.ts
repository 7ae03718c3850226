// core/v1 ServiceAccount: who the processes of a pod are, to the API.
import { ageCell } from '../machinery/age.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, boolean, optional } from '../machinery/schema.ts'
import { CORE, localObjectReference, objectReference } from './references.ts'
import { atomicList, listByKey } from './scalars.ts'
import { ageColumn, column, nameColumn } from './workload-table.ts'

const schema = kindSchema(`${CORE}ServiceAccount`, {
  secrets: optional(2, array(objectReference, listByKey('name'))),
  imagePullSecrets: optional(3, array(localObjectReference, atomicList)),
  automountServiceAccountToken: optional(4, boolean()),
})
export interface ServiceAccount extends ObjectOf<typeof schema> {}

export const serviceAccounts = defineKind<ServiceAccount>({
  group: '',
  version: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  singular: 'serviceaccount',
  shortNames: ['sa'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/serviceaccounts',
  unconditionalUpdate: true,
  subresources: { custom: ['token'] },
  table: {
    columns: [nameColumn, column('Secrets'), ageColumn],
    row: (s, nowMs) => [s.metadata.name, s.secrets?.length ?? 0, ageCell(s.metadata.creationTimestamp, nowMs)],
  },
})
