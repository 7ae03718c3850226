// node.k8s.io/v1 RuntimeClass: which runtime handler runs a pod, at what overhead and on which nodes.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, map, object, optional, quantity, required, string } from '../machinery/schema.ts'
import { isDns1123Label } from '../machinery/validation.ts'
import { toleration } from '../core/toleration.ts'

const NODE = 'io.k8s.api.node.v1.'
const schema = kindSchema(`${NODE}RuntimeClass`, {
  handler: required(2, string()),
  overhead: optional(3, object(`${NODE}Overhead`, { podFixed: optional(1, map(quantity())) })),
  scheduling: optional(
    4,
    object(`${NODE}Scheduling`, {
      nodeSelector: optional(1, map(string(), 'atomic')),
      tolerations: optional(2, array(toleration, { listType: 'atomic' })),
    }),
  ),
})
export interface RuntimeClass extends ObjectOf<typeof schema> {}

export const runtimeClasses = defineKind<RuntimeClass>({
  group: 'node.k8s.io',
  version: 'v1',
  kind: 'RuntimeClass',
  plural: 'runtimeclasses',
  singular: 'runtimeclass',
  namespaced: false,
  schema,
  storagePrefix: '/registry/runtimeclasses',
  unconditionalUpdate: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Handler', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [o.metadata.name, o.handler, ageCell(o.metadata.creationTimestamp, nowMs)],
  },
  validate: (o): FieldError[] =>
    o.handler === ''
      ? [requiredField('handler')]
      : isDns1123Label(o.handler).map((message) => invalidField('handler', o.handler, message)),
  validateUpdate: (next, old) =>
    next.handler === old.handler ? [] : [forbiddenField('handler', 'field is immutable')],
})
