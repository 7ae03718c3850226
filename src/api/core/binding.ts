// core/v1 Binding: the word of a scheduler that a pod shall run on a node. It is told, never stored.
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { required } from '../machinery/schema.ts'
import { type FieldError, notSupportedField, requiredField } from '../machinery/errors.ts'
import { CORE, objectReference } from './references.ts'

const schema = kindSchema(`${CORE}Binding`, { target: required(2, objectReference) })
export interface Binding extends ObjectOf<typeof schema> {}

function validateBinding(binding: Binding): FieldError[] {
  const { kind, name } = binding.target
  const errors: FieldError[] = []
  if (kind !== undefined && kind !== 'Node') errors.push(notSupportedField('target.kind', kind, ['Node', '<empty>']))
  if (!name) errors.push(requiredField('target.name'))
  return errors
}

export const bindings = defineKind<Binding>({
  group: '',
  version: 'v1',
  kind: 'Binding',
  plural: 'bindings',
  singular: 'binding',
  namespaced: true,
  schema,
  verbs: ['create'],
  storagePrefix: '/registry/bindings',
  validate: validateBinding,
})
