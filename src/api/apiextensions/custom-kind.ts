// A CustomResourceDefinition as kinds: one for each of its versions, with that version's own schema, columns and
// subresources. From here on a custom resource is a kind like any other.
import { draftOf } from '../machinery/freeze.ts'
import type { Cell, Column, Kind, ScaleMapping, TableDefinition } from '../machinery/kind.ts'
import { type KubeObject, objectMeta } from '../machinery/meta.ts'
import type { Draft, Field, Json, JsonObject, ObjectSchema } from '../machinery/schema.ts'
import { string } from '../machinery/schema.ts'
import type { CrdNames, CrdVersion, CustomResourceDefinition } from './custom-resource-definition.ts'
import { schemaOf } from './custom-resource-definition.ts'
import { validateRules } from '../machinery/cel/rules.ts'
import { ruleSchema } from './rule-schema.ts'
import { validateEmbedded } from './embedded.ts'
import { compileJsonPath, type JsonPath, memberPath, printFound } from './json-path.ts'
import type { JsonSchemaProps } from './json-schema-props.ts'
import { fieldsOf, nestedConstraints, toSchema } from './structural.ts'

export interface CustomVersion {
  readonly name: string
  readonly kind: Kind
  readonly served: boolean
  /** Sent with every answer of a deprecated version. */
  readonly deprecation: string | undefined
}
export interface CustomKinds {
  readonly stored: CustomVersion
  readonly versions: readonly CustomVersion[]
  /** One version, or several that differ in nothing but their name: what is stored for one is right for all. */
  readonly uniform: boolean
}

/** The kinds of a definition whose names are accepted. Throws where no version is marked as stored. */
export function customKindsOf(crd: CustomResourceDefinition): CustomKinds {
  const { spec } = crd
  const names = crd.status.acceptedNames ?? spec.names
  const stored = spec.versions.find((version) => version.storage)
  if (stored === undefined) throw new Error(`${crd.metadata.name} has no version that is stored`)
  const versions = spec.versions.map((version) => customVersion(crd, names, version, stored.name))
  const same = (version: CrdVersion) =>
    JSON.stringify([version.schema, version.subresources]) === JSON.stringify([stored.schema, stored.subresources])
  const found = versions.find(({ name }) => name === stored.name)
  if (found === undefined) throw new Error(`${crd.metadata.name} lost its stored version`)
  return {
    stored: found,
    versions,
    uniform: spec.conversion?.strategy !== 'Webhook' && spec.versions.every(same),
  }
}

function customVersion(
  { spec }: CustomResourceDefinition,
  names: CrdNames,
  version: CrdVersion,
  storedName: string,
): CustomVersion {
  const { group } = spec
  const props = schemaOf(version) ?? {}
  const schema = rootSchema(props)
  const hasStatus = version.subresources?.status !== undefined
  const scale = scaleOf(version)
  const selectable = selectableOf(version)
  const kind: Kind = {
    group,
    version: version.name,
    kind: names.kind,
    plural: names.plural,
    singular: names.singular ?? names.kind.toLowerCase(),
    listKind: names.listKind ?? `${names.kind}List`,
    ...(names.shortNames === undefined ? {} : { shortNames: names.shortNames }),
    ...(names.categories === undefined ? {} : { categories: names.categories }),
    namespaced: spec.scope === 'Namespaced',
    schema,
    storagePrefix: `/registry/${group}/${names.plural}`,
    storageVersion: storedName,
    generation: true,
    plainFinalizers: true,
    subresources: { status: hasStatus, ...(scale === undefined ? {} : { scale }) },
    table: tableOf(version),
    selectableFields: selectable,
    ...(hasStatus
      ? {
          prepareForCreate: (draft: Draft<KubeObject>) => {
            delete (draft as { status?: unknown }).status
          },
          prepareForStatusUpdate: keepMetadata,
        }
      : {}),
    rules: rulesOf(schema),
    validate: (object) => validateEmbedded(schema, object as unknown as JsonObject),
  }
  const text = version.deprecationWarning ?? `${group}/${version.name} ${names.kind} is deprecated`
  return {
    name: version.name,
    kind,
    served: version.served,
    deprecation: version.deprecated === true ? text : undefined,
  }
}

/** CEL rules see no more of metadata than the names. */
function rulesOf(schema: ObjectSchema): NonNullable<Kind['rules']> {
  const seen = ruleSchema(schema)
  return (object, old) => validateRules(seen, object, old)
}

/** A write through /status changes no metadata but who manages what. */
function keepMetadata(draft: Draft<KubeObject>, old: KubeObject): void {
  const { managedFields, resourceVersion } = draft.metadata
  draft.metadata = draftOf(old.metadata)
  if (managedFields === undefined) delete draft.metadata.managedFields
  else draft.metadata.managedFields = managedFields
  draft.metadata.resourceVersion = resourceVersion
}

/** The whole object's schema: what its author says of metadata are rules upon the metadata that every object has. */
function rootSchema(props: JsonSchemaProps): ObjectSchema {
  const text: Field = { tag: 0, schema: string(), presence: 'optional', present: false }
  const said = props.properties?.['metadata']
  const metadata = said === undefined ? objectMeta : { ...objectMeta, constraints: nestedConstraints(said) }
  const root = toSchema({ ...props, type: 'object' })
  const base: ObjectSchema =
    root.type === 'object'
      ? root
      : { type: 'object', name: '', structural: true, fields: fieldsOf(props), preserveUnknown: true }
  return {
    ...base,
    fields: {
      apiVersion: text,
      kind: text,
      metadata: { tag: 0, schema: metadata, presence: 'optional', present: false },
      ...Object.fromEntries(
        Object.entries(base.fields).filter(([name]) => !['apiVersion', 'kind', 'metadata'].includes(name)),
      ),
    },
    published: props as unknown as JsonObject,
  }
}

function scaleOf({ subresources }: CrdVersion): ScaleMapping | undefined {
  const scale = subresources?.scale
  if (scale === undefined) return undefined
  const spec = memberPath(scale.specReplicasPath)
  const status = memberPath(scale.statusReplicasPath)
  if (spec === undefined || status === undefined) return undefined
  const selector = scale.labelSelectorPath === undefined ? undefined : memberPath(scale.labelSelectorPath)
  return {
    specReplicasPath: spec,
    statusReplicasPath: status,
    ...(selector === undefined ? {} : { labelSelectorPath: selector }),
  }
}

function selectableOf({ selectableFields = [] }: CrdVersion): NonNullable<Kind['selectableFields']> {
  return Object.fromEntries(
    selectableFields.map(({ jsonPath }) => {
      const find = compileJsonPath(jsonPath)
      const read = (object: KubeObject): string => {
        const [value] = find(object)
        return value === undefined || value === null ? '' : printFound([value])
      }
      return [jsonPath.replace(/^\./, ''), read] as const
    }),
  )
}

const nameColumn: Column = { name: 'Name', type: 'string', format: 'name' }
function tableOf({ additionalPrinterColumns = [] }: CrdVersion): TableDefinition<KubeObject> {
  const declared =
    additionalPrinterColumns.length > 0
      ? additionalPrinterColumns
      : [{ name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }]
  const columns = declared.map((column): { column: Column; find: JsonPath } => ({
    column: {
      name: column.name,
      type: column.type as Column['type'],
      ...('format' in column && column.format !== undefined ? { format: column.format } : {}),
      ...('description' in column && column.description !== undefined ? { description: column.description } : {}),
      ...('priority' in column && column.priority !== undefined ? { priority: column.priority } : {}),
    },
    find: compileJsonPath(column.jsonPath),
  }))
  return {
    columns: [nameColumn, ...columns.map(({ column }) => column)],
    row: (object) => [
      object.metadata.name,
      ...columns.map(({ column, find }): Cell => cellOf(column.type, find(object))),
    ],
  }
}
/** What a value is in a column of this type; nothing where it is of another one. */
function cellOf(type: Column['type'], values: readonly Json[]): Cell {
  const [value] = values
  if (value === undefined || value === null) return null
  switch (type) {
    case 'string':
      return printFound(values)
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : null
    case 'number':
      return typeof value === 'number' ? value : null
    case 'boolean':
      return typeof value === 'boolean' ? value : null
    case 'date':
      return typeof value === 'string' ? value : null
  }
}
