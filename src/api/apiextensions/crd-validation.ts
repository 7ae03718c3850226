// Rules of a CustomResourceDefinition: names, versions, conversion, and what each version declares beside its schema.
// What all versions have in common is reported once, at the definition, where older API versions had it.
import {
  duplicateField,
  type FieldError,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
} from '../machinery/errors.ts'
import { solid } from '../machinery/compile.ts'
import type { Json, ObjectSchema, Schema } from '../machinery/schema.ts'
import { isDns1035Label, isDns1123Subdomain } from '../machinery/validation.ts'
import { validateClientConfig } from '../admissionregistration/client-config.ts'
import type { CrdVersion, CustomResourceDefinition } from './custom-resource-definition.ts'
import { compileJsonPath, JsonPathError, memberPath } from './json-path.ts'
import type { JsonSchemaProps } from './json-schema-props.ts'
import { validateRuleDefinitions } from './rule-validation.ts'
import { ruleSchema } from './rule-schema.ts'
import { validateStructural } from './structural-validation.ts'
import { toSchema } from './structural.ts'

const columnTypes = ['boolean', 'date', 'integer', 'number', 'string']
const columnFormats = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password']
const maxSelectableFields = 8
const label = (field: string, value: string): FieldError[] =>
  isDns1035Label(value).map((message) => invalidField(field, value, message))

export function validateDefinition(crd: CustomResourceDefinition): FieldError[] {
  const { spec, metadata } = crd
  const errors: FieldError[] = []
  // An update that would make it wrong is refused for what it changes.
  const isNew = (crd.status.conditions ?? []).length === 0
  if (isNew && metadata.name !== `${spec.names.plural}.${spec.group}`)
    errors.push(invalidField('metadata.name', metadata.name, 'must be spec.names.plural+"."+spec.group'))
  errors.push(...validateGroup(crd))
  if (spec.scope === '') errors.push(requiredField('spec.scope'))
  else if (!['Cluster', 'Namespaced'].includes(spec.scope))
    errors.push(notSupportedField('spec.scope', spec.scope, ['Cluster', 'Namespaced']))
  if (spec.preserveUnknownFields === true)
    errors.push(
      invalidField(
        'spec.preserveUnknownFields',
        true,
        'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
      ),
    )
  errors.push(...validateVersions(spec.versions), ...validateNames(crd), ...validateConversion(crd))
  errors.push(...validateStoredVersions(crd))
  return errors
}

function validateGroup(crd: CustomResourceDefinition): FieldError[] {
  const { group } = crd.spec
  if (group === '') return [requiredField('spec.group')]
  const errors = isDns1123Subdomain(group).map((m) => invalidField('spec.group', group, m))
  if (!group.includes('.')) errors.push(invalidField('spec.group', group, 'should be a domain with at least one dot'))
  if (/(^|\.)(k8s|kubernetes)\.io$/.test(group)) errors.push(...validateProtectedGroup(crd))
  return errors
}

/** Groups of Kubernetes itself need the approval annotation (KEP-1111, api-approved.kubernetes.io). */
function validateProtectedGroup(crd: CustomResourceDefinition): FieldError[] {
  const approved = crd.metadata.annotations?.['api-approved.kubernetes.io']
  const at = 'metadata.annotations[api-approved.kubernetes.io]'
  const demand = 'protected groups must have approval annotation "api-approved.kubernetes.io"'
  const where = 'see https://github.com/kubernetes/enhancements/pull/1111'
  if (approved === undefined || approved === '') return [requiredField(at, `${demand}, ${where}`)]
  if (approved.startsWith('unapproved') || URL.canParse(approved)) return []
  return [invalidField(at, approved, `${demand} with either a URL or a reason starting with "unapproved", ${where}`)]
}

function validateNames({ spec: { names } }: CustomResourceDefinition): FieldError[] {
  const errors: FieldError[] = []
  for (const name of ['plural', 'singular', 'kind', 'listKind'] as const) {
    const text = names[name] ?? ''
    const at = `spec.names.${name}`
    if (text === '') errors.push(requiredField(at))
    else if (name === 'plural' || name === 'singular') errors.push(...label(at, text))
    else {
      for (const m of isDns1035Label(text.toLowerCase()))
        errors.push(invalidField(at, text, `may have mixed case, but should otherwise match: ${m}`))
    }
  }
  names.shortNames?.forEach((name, i) => errors.push(...label(`spec.names.shortNames[${i}]`, name)))
  if (names.kind !== '' && names.kind === names.listKind)
    errors.push(invalidField('spec.names.listKind', names.listKind, 'kind and listKind may not be the same'))
  names.categories?.forEach((name, i) => errors.push(...label(`spec.names.categories[${i}]`, name)))
  return errors
}

/** How upstream prints versions in a message. */
const printVersions = (versions: readonly CrdVersion[]): Json =>
  versions.map((v) => ({
    Name: v.name,
    Served: v.served,
    Storage: v.storage,
    Deprecated: v.deprecated === true,
    DeprecationWarning: v.deprecationWarning ?? null,
    Schema: null,
    Subresources: null,
    AdditionalPrinterColumns: null,
    SelectableFields: null,
  }))

function validateVersions(versions: readonly CrdVersion[]): FieldError[] {
  const errors: FieldError[] = []
  const [first] = versions
  const common = (key: 'schema' | 'subresources' | 'additionalPrinterColumns' | 'selectableFields'): boolean =>
    versions.every((v) => JSON.stringify(v[key]) === JSON.stringify(first?.[key]))
  const shared = {
    schema: common('schema'),
    subresources: common('subresources'),
    columns: common('additionalPrinterColumns'),
    fields: common('selectableFields'),
  }
  versions.forEach((version, i) => {
    const at = `spec.versions[${i}]`
    errors.push(...label(`${at}.name`, version.name))
    if (version.deprecationWarning !== undefined) errors.push(...validateDeprecation(version, at))
    if (version.schema?.openAPIV3Schema === undefined) errors.push(requiredField(`${at}.schema.openAPIV3Schema`))
    const place = (isShared: boolean, own: string, common: string) => (isShared ? `spec.${common}` : `${at}.${own}`)
    const said = (isShared: boolean) => !isShared || i === 0
    if (said(shared.schema))
      errors.push(...validateVersionSchema(version, `${place(shared.schema, 'schema', 'validation')}.openAPIV3Schema`))
    if (said(shared.subresources))
      errors.push(...validateScale(version, `${place(shared.subresources, 'subresources', 'subresources')}.scale`))
    if (said(shared.columns))
      errors.push(
        ...validateColumns(version, place(shared.columns, 'additionalPrinterColumns', 'additionalPrinterColumns')),
      )
    if (said(shared.fields))
      errors.push(...validateSelectable(version, place(shared.fields, 'selectableFields', 'selectableFields')))
  })
  if (new Set(versions.map((v) => v.name)).size < versions.length)
    errors.push(invalidField('spec.versions', printVersions(versions), 'must contain unique version names'))
  if (versions.filter((v) => v.storage).length !== 1)
    errors.push(
      invalidField('spec.versions', printVersions(versions), 'must have exactly one version marked as storage version'),
    )
  return errors
}

function validateDeprecation(version: CrdVersion, at: string): FieldError[] {
  const text = version.deprecationWarning ?? ''
  const bad = (why: string) => [invalidField(`${at}.deprecationWarning`, text, why)]
  if (version.deprecated !== true) return bad('can only be set for deprecated versions')
  if (text === '') return bad('must not be an empty string')
  if (text.length > 256) return bad('must be <= 256 characters long')
  const hidden = text.search(/\p{C}/u)
  return hidden < 0
    ? []
    : bad(`must only contain printable UTF-8 characters; non-printable character found at index ${hidden}`)
}

function validateVersionSchema(version: CrdVersion, at: string): FieldError[] {
  const props = version.schema?.openAPIV3Schema as JsonSchemaProps | undefined
  if (props === undefined) return []
  const errors = validateStructural(props, at)
  if (errors.length > 0) return errors
  const schema = ruleSchema(withNames(toSchema(props)))
  return validateRuleDefinitions(schema, at)
}
/** The root as rules see it: every object says what it is and has a name. */
function withNames(schema: Schema): ObjectSchema {
  const text = { tag: 0, schema: { type: 'string' }, presence: 'optional', present: false } as const
  const name = { type: 'object', name: '', structural: true, fields: { name: text, generateName: text } } as const
  const fields = schema.type === 'object' ? schema.fields : {}
  return {
    ...(schema.type === 'object' ? schema : { type: 'object', name: '', structural: true }),
    fields: { ...fields, apiVersion: text, kind: text, metadata: { ...text, schema: name } },
  }
}

function validateScale({ subresources }: CrdVersion, at: string): FieldError[] {
  const scale = subresources?.scale
  if (scale === undefined) return []
  const errors: FieldError[] = []
  const simple = (name: string, path: string, prefixes: readonly string[]) => {
    const field = `${at}.${name}`
    if (!/^\.[A-Za-z_]/.test(path)) errors.push(invalidField(field, path, 'must be a simple json path starting with .'))
    else if (!prefixes.some((prefix) => path.startsWith(prefix))) {
      const names = prefixes.map((prefix) => prefix.slice(0, -1))
      const where = names.length === 1 ? names[0] : `either ${names.join(' or ')}`
      errors.push(invalidField(field, path, `should be a json path under ${where}`))
    }
  }
  if (scale.specReplicasPath === '') errors.push(requiredField(`${at}.specReplicasPath`))
  else simple('specReplicasPath', scale.specReplicasPath, ['.spec.'])
  if (scale.statusReplicasPath === '') errors.push(requiredField(`${at}.statusReplicasPath`))
  else simple('statusReplicasPath', scale.statusReplicasPath, ['.status.'])
  const selector = scale.labelSelectorPath ?? ''
  if (selector !== '') simple('labelSelectorPath', selector, ['.spec.', '.status.'])
  return errors
}

function validateColumns({ additionalPrinterColumns = [] }: CrdVersion, at: string): FieldError[] {
  return additionalPrinterColumns.flatMap((column, i) => {
    const here = `${at}[${i}]`
    const errors: FieldError[] = []
    if (column.name === '') errors.push(requiredField(`${here}.name`))
    if (column.type === '') errors.push(requiredField(`${here}.type`, `must be one of ${columnTypes.join(',')}`))
    else if (!columnTypes.includes(column.type))
      errors.push(invalidField(`${here}.type`, column.type, `must be one of ${columnTypes.join(',')}`))
    const format = column.format ?? ''
    if (format !== '' && !columnFormats.includes(format))
      errors.push(invalidField(`${here}.format`, format, `must be one of ${columnFormats.join(',')}`))
    if (column.jsonPath === '') errors.push(requiredField(`${here}.JSONPath`))
    else {
      try {
        compileJsonPath(column.jsonPath)
      } catch (error) {
        if (!(error instanceof JsonPathError)) throw error
        errors.push(invalidField(`${here}.JSONPath`, column.jsonPath, error.message))
      }
    }
    return errors
  })
}

function validateSelectable({ selectableFields = [], schema }: CrdVersion, at: string): FieldError[] {
  const errors: FieldError[] = []
  const props = schema?.openAPIV3Schema as JsonSchemaProps | undefined
  const seen = new Set<string>()
  selectableFields.forEach(({ jsonPath }, i) => {
    const here = `${at}[${i}].jsonPath`
    if (jsonPath === '') return void errors.push(requiredField(here))
    const bad = (why: string) => errors.push(invalidField(here, jsonPath, why))
    if (!/^[.[]/.test(jsonPath)) {
      return void bad(`is an invalid path: expected [ or . but got: ${jsonPath.split(/[.[]/)[0]}`)
    }
    const path = memberPath(jsonPath)
    const found = path === undefined || props === undefined ? undefined : fieldAt(toSchema(props), path)
    if (found === undefined || path?.[0] === 'metadata')
      return void bad('is an invalid path: does not refer to a valid field')
    if (!['string', 'boolean', 'integer'].includes(found.type)) {
      bad(
        'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
      )
    }
    if (seen.has(jsonPath)) errors.push(duplicateField(here, jsonPath))
    seen.add(jsonPath)
  })
  if (selectableFields.length > maxSelectableFields) {
    const why = `must have at most ${maxSelectableFields} items`
    errors.push({ type: 'FieldValueTooMany', field: at, message: `Too many: ${selectableFields.length}: ${why}` })
  }
  return errors
}
function fieldAt(schema: Schema, path: readonly string[]): Schema | undefined {
  let current: Schema | undefined = schema
  for (const name of path) {
    const it: Schema = solid(current)
    if (it.type === 'map') current = it.values
    else if (it.type === 'object' && Object.hasOwn(it.fields, name)) current = it.fields[name]?.schema
    else return undefined
    if (current === undefined) return undefined
  }
  return solid(current)
}

function validateConversion({ spec }: CustomResourceDefinition): FieldError[] {
  const errors: FieldError[] = []
  const strategy = spec.conversion?.strategy ?? 'None'
  const webhook = spec.conversion?.webhook
  const at = 'spec.conversion'
  if (!['None', 'Webhook'].includes(strategy))
    return [notSupportedField(`${at}.strategy`, strategy, ['None', 'Webhook'])]
  if (strategy === 'None') {
    const why = 'should not be set when strategy is not set to Webhook'
    if (webhook?.clientConfig !== undefined) errors.push(forbiddenField(`${at}.webhookClientConfig`, why))
    if ((webhook?.conversionReviewVersions ?? []).length > 0)
      errors.push(forbiddenField(`${at}.conversionReviewVersions`, why))
    return errors
  }
  const config = webhook?.clientConfig
  if (config === undefined)
    errors.push(requiredField(`${at}.webhookClientConfig`, 'required when strategy is set to Webhook'))
  else errors.push(...validateClientConfig(config, `${at}.webhookClientConfig`))
  const versions = webhook?.conversionReviewVersions ?? []
  if (versions.length === 0) return [...errors, requiredField(`${at}.conversionReviewVersions`)]
  versions.forEach((version, i) => {
    const here = `${at}.conversionReviewVersions[${i}]`
    if (versions.indexOf(version) < i) errors.push(invalidField(here, version, 'duplicate version'))
    errors.push(...label(here, version))
  })
  if (!versions.some((version) => version === 'v1' || version === 'v1beta1'))
    errors.push(
      invalidField(`${at}.conversionReviewVersions`, [...versions], 'must include at least one of v1, v1beta1'),
    )
  return errors
}

function validateStoredVersions({ spec, status }: CustomResourceDefinition): FieldError[] {
  const stored = status.storedVersions ?? []
  const at = 'status.storedVersions'
  if (stored.length === 0) return [invalidField(at, null, 'must have at least one stored version')]
  const errors: FieldError[] = []
  stored.forEach((name, i) => {
    if (!spec.versions.some((v) => v.name === name)) {
      errors.push(
        invalidField(
          `${at}[${i}]`,
          name,
          `missing from spec.versions; ${name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${name} and removes ${name} from status.storedVersions`,
        ),
      )
    }
  })
  return errors
}

export function validateDefinitionUpdate(next: CustomResourceDefinition, old: CustomResourceDefinition): FieldError[] {
  const errors: FieldError[] = []
  const established = old.status.conditions?.some((c) => c.type === 'Established' && c.status === 'True') === true
  const fixed = (field: string, a: string, b: string) => {
    if (a !== b) errors.push(invalidField(field, a, 'field is immutable'))
  }
  if (established) {
    fixed('spec.scope', next.spec.scope, old.spec.scope)
    fixed('spec.names.kind', next.spec.names.kind, old.spec.names.kind)
  }
  fixed('spec.group', next.spec.group, old.spec.group)
  fixed('spec.names.plural', next.spec.names.plural, old.spec.names.plural)
  return errors
}
