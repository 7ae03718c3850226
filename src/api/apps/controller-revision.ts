// apps/v1 ControllerRevision: an immutable past template of a StatefulSet or DaemonSet.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField, requiredField } from '../machinery/errors.ts'
import { semanticEqual } from '../machinery/equal.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { any, int64, optional, required } from '../machinery/schema.ts'
import { immutableField, validateNonNegative } from '../machinery/validation.ts'
import { shown } from '../core/selector-validation.ts'
import { ageColumn, column, nameColumn } from '../core/workload-table.ts'
import { oldRevisionVersions } from './old-versions.ts'

const schema = kindSchema('io.k8s.api.apps.v1.ControllerRevision', {
  data: optional(2, any('io.k8s.apimachinery.pkg.runtime.RawExtension')),
  revision: required(3, int64()),
})
export interface ControllerRevision extends ObjectOf<typeof schema> {}

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
    row: (o, nowMs) => {
      const owner = o.metadata.ownerReferences?.find((r) => r.controller === true)
      const group = owner?.apiVersion.includes('/') === true ? `.${owner.apiVersion.split('/')[0]}` : ''
      return [
        o.metadata.name,
        owner === undefined ? '<none>' : `${owner.kind.toLowerCase()}${group}/${owner.name}`,
        o.revision,
        ageCell(o.metadata.creationTimestamp, nowMs),
      ]
    },
  },
  validate: (o): FieldError[] => {
    const errors: FieldError[] = [...validateNonNegative(o.revision, 'revision')]
    if (o.data === undefined) errors.push(requiredField('data', 'data is mandatory'))
    else if (typeof o.data !== 'object' || o.data === null || Array.isArray(o.data))
      errors.push(invalidField('data', o.data, 'data must be a valid JSON object'))
    return errors
  },
  validateUpdate: (next, old) =>
    immutableField('data', shown(next.data), semanticEqual(shown(next.data), shown(old.data))),
})
