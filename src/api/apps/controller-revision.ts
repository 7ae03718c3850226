// apps/v1 ControllerRevision: one recorded state of a DaemonSet's or StatefulSet's template.
import { ageCell } from '../machinery/age.ts'
import { equal } from '../machinery/equal.ts'
import { type FieldError, invalidField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { any, int64, optional, required } from '../machinery/schema.ts'
import { validateNonNegative } from '../machinery/validation.ts'
import { ageColumn, column, nameColumn } from '../core/workload-table.ts'
import { APPS } from './deployment.ts'
import { oldRevisionVersions } from './old-versions.ts'

const schema = kindSchema(`${APPS}ControllerRevision`, {
  data: optional(2, any('io.k8s.apimachinery.pkg.runtime.RawExtension')),
  revision: required(3, int64()),
})
export interface ControllerRevision extends ObjectOf<typeof schema> {}

function controllerCell(revision: ControllerRevision): string {
  const owner = revision.metadata.ownerReferences?.find((one) => one.controller === true)
  if (owner === undefined) return '<none>'
  const [group = ''] = owner.apiVersion.includes('/') ? owner.apiVersion.split('/') : ['']
  const kind = owner.kind.toLowerCase()
  return `${group === '' ? kind : `${kind}.${group}`}/${owner.name}`
}
function validate(revision: ControllerRevision): FieldError[] {
  const errors: FieldError[] = []
  const { data } = revision
  if (data === undefined || data === null) errors.push(requiredField('data', 'data is mandatory'))
  else if (typeof data !== 'object' || Array.isArray(data)) {
    errors.push(invalidField('data', '<value omitted>', 'must be a valid JSON object'))
  }
  return [...errors, ...validateNonNegative(revision.revision, 'revision')]
}

export const controllerRevisions = defineKind<ControllerRevision>({
  group: 'apps',
  version: 'v1',
  kind: 'ControllerRevision',
  plural: 'controllerrevisions',
  singular: 'controllerrevision',
  namespaced: true,
  schema,
  storagePrefix: '/registry/controllerrevisions',
  unconditionalUpdate: true,
  versions: oldRevisionVersions(schema),
  table: {
    columns: [nameColumn, column('Controller'), column('Revision'), ageColumn],
    row: (r, nowMs) => [r.metadata.name, controllerCell(r), r.revision, ageCell(r.metadata.creationTimestamp, nowMs)],
  },
  validate,
  validateUpdate: (r, old) => (equal(r.data, old.data) ? [] : [invalidField('data', r.data, 'field is immutable')]),
})
