// The schema as CEL rules see it: of every object's metadata there is only name and generateName, the rest is nobody's
// business in a rule of a custom resource.
import { objectMeta } from '../machinery/meta.ts'
import { type ObjectSchema, object, optional, type Schema, string } from '../machinery/schema.ts'

const visibleMeta = object('', { name: optional(0, string()), generateName: optional(0, string()) })

/** The same schema with metadata cut down wherever an object has it. */
export function ruleSchema(schema: ObjectSchema): ObjectSchema {
  return visit(schema) as ObjectSchema
}
function visit(schema: Schema): Schema {
  switch (schema.type) {
    case 'array':
      return { ...schema, items: visit(schema.items) }
    case 'map':
      return { ...schema, values: visit(schema.values) }
    case 'object': {
      if (schema.name === objectMeta.name) {
        const { constraints } = schema
        return { ...visibleMeta, ...(constraints === undefined ? {} : { constraints }) }
      }
      const fields = Object.entries(schema.fields).map(
        ([name, field]) => [name, { ...field, schema: visit(field.schema) }] as const,
      )
      return { ...schema, fields: Object.fromEntries(fields) }
    }
    case 'string':
    case 'integer':
    case 'number':
    case 'boolean':
    case 'quantity':
    case 'int-or-string':
    case 'any':
    case 'lazy':
      return schema
  }
}
