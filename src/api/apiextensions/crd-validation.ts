// Rules of a CustomResourceDefinition: names, versions, and that each schema is structural (KEP-1111), which is what
// makes pruning and defaulting well defined.
import {
  duplicateField,
  type FieldError,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
} from '../machinery/errors.ts'
import type { Json } from '../machinery/schema.ts'
import { isDns1035Label, isDns1123Subdomain } from '../machinery/validation.ts'
import type { CrdVersion, CustomResourceDefinition } from './custom-resource-definition.ts'
import type { JsonSchemaProps } from './json-schema-props.ts'

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string']
const columnTypes = ['boolean', 'date', 'integer', 'number', 'string']
const value = (v: unknown): Json => (v ?? null) as Json

export function validateDefinition(crd: CustomResourceDefinition): FieldError[] {
  const { spec, metadata } = crd
  const errors: FieldError[] = []
  const wanted = `${spec.names.plural}.${spec.group}`
  if (metadata.name !== wanted)
    errors.push(invalidField('metadata.name', metadata.name, 'must be spec.names.plural+"."+spec.group'))
  if (spec.group === '') errors.push(requiredField('spec.group'))
  else {
    for (const m of isDns1123Subdomain(spec.group)) errors.push(invalidField('spec.group', spec.group, m))
    if (!spec.group.includes('.'))
      errors.push(invalidField('spec.group', spec.group, 'should be a domain with at least one dot'))
    if (/(^|\.)(k8s|kubernetes)\.io$/.test(spec.group)) errors.push(...validateProtectedGroup(crd))
  }
  if (!['Cluster', 'Namespaced'].includes(spec.scope))
    errors.push(
      spec.scope === ''
        ? requiredField('spec.scope')
        : notSupportedField('spec.scope', spec.scope, ['Cluster', 'Namespaced']),
    )
  const { names } = spec
  const label = (name: 'plural' | 'singular' | 'kind' | 'listKind') => {
    const text = names[name] ?? ''
    if (text === '') errors.push(requiredField(`spec.names.${name}`))
    else for (const m of isDns1035Label(text.toLowerCase())) errors.push(invalidField(`spec.names.${name}`, text, m))
  }
  for (const name of ['plural', 'singular', 'kind', 'listKind'] as const) label(name)
  names.shortNames?.forEach((s, i) => {
    for (const m of isDns1035Label(s)) errors.push(invalidField(`spec.names.shortNames[${i}]`, s, m))
  })
  if (names.kind !== '' && names.kind === names.listKind)
    errors.push(invalidField('spec.names.listKind', names.listKind, 'kind and listKind may not be the same'))
  errors.push(...validateVersions(spec.versions))
  if (spec.preserveUnknownFields === true)
    errors.push(
      invalidField('spec.preserveUnknownFields', true, 'must be false in order to use defaults in the schema'),
    )
  const strategy = spec.conversion?.strategy ?? 'None'
  if (!['None', 'Webhook'].includes(strategy))
    errors.push(notSupportedField('spec.conversion.strategy', strategy, ['None', 'Webhook']))
  if (strategy === 'Webhook') {
    const config = spec.conversion?.webhook?.clientConfig
    if (config === undefined)
      errors.push(requiredField('spec.conversion.webhookClientConfig', 'required when strategy is set to Webhook'))
    else if ((config.url === undefined) === (config.service === undefined))
      errors.push(requiredField('spec.conversion.webhookClientConfig', 'exactly one of url or service is required'))
    if ((spec.conversion?.webhook?.conversionReviewVersions ?? []).length === 0)
      errors.push(requiredField('spec.conversion.conversionReviewVersions'))
  } else if (spec.conversion?.webhook !== undefined)
    errors.push(
      forbiddenField('spec.conversion.webhookClientConfig', 'should not be set when strategy is not set to Webhook'),
    )
  return errors
}

/** Groups of Kubernetes itself need the approval annotation (KEP-1111, api-approved.kubernetes.io). */
function validateProtectedGroup(crd: CustomResourceDefinition): FieldError[] {
  const approved = crd.metadata.annotations?.['api-approved.kubernetes.io']
  const at = 'metadata.annotations[api-approved.kubernetes.io]'
  if (approved === undefined || approved === '')
    return [
      requiredField(
        at,
        `protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111`,
      ),
    ]
  return approved.startsWith('unapproved') || URL.canParse(approved)
    ? []
    : [
        invalidField(
          at,
          approved,
          'protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111',
        ),
      ]
}

function validateVersions(versions: readonly CrdVersion[]): FieldError[] {
  const errors: FieldError[] = []
  const stored = versions.filter((v) => v.storage)
  if (stored.length !== 1)
    errors.push(
      invalidField(
        'spec.versions',
        value(versions.map((v) => v.name)),
        'must have exactly one version marked as storage version',
      ),
    )
  versions.forEach((v, i) => {
    const at = `spec.versions[${i}]`
    for (const m of isDns1035Label(v.name)) errors.push(invalidField(`${at}.name`, v.name, m))
    if (versions.findIndex((o) => o.name === v.name) < i) errors.push(duplicateField(`${at}.name`, v.name))
    const schema = v.schema?.openAPIV3Schema as JsonSchemaProps | undefined
    if (schema === undefined) errors.push(requiredField(`${at}.schema.openAPIV3Schema`, 'schemas are required'))
    else errors.push(...validateSchema(schema, `${at}.schema.openAPIV3Schema`, { root: true, typed: true }))
    v.additionalPrinterColumns?.forEach((c, j) => {
      const here = `${at}.additionalPrinterColumns[${j}]`
      if (c.name === '') errors.push(requiredField(`${here}.name`))
      if (!columnTypes.includes(c.type))
        errors.push(invalidField(`${here}.type`, c.type, `must be one of ${columnTypes.join(',')}`))
      if (c.jsonPath === '') errors.push(requiredField(`${here}.JSONPath`))
    })
    if ((v.selectableFields?.length ?? 0) > 8)
      errors.push({
        type: 'FieldValueTooMany',
        field: `${at}.selectableFields`,
        message: `Too many: ${v.selectableFields?.length}: must have at most 8 items`,
      })
    v.selectableFields?.forEach((f, j) => {
      if (!/^\.[A-Za-z_]/.test(f.jsonPath))
        errors.push(invalidField(`${at}.selectableFields[${j}].jsonPath`, f.jsonPath, 'is an invalid path'))
      else if (f.jsonPath.startsWith('.metadata.'))
        errors.push(
          invalidField(`${at}.selectableFields[${j}].jsonPath`, f.jsonPath, 'must not point to fields in metadata'),
        )
    })
    const scale = v.subresources?.scale
    if (scale !== undefined) {
      const check = (name: 'specReplicasPath' | 'statusReplicasPath', prefix: string) => {
        if (scale[name] === '') errors.push(requiredField(`${at}.subresources.scale.${name}`))
        else if (!scale[name].startsWith(prefix))
          errors.push(
            invalidField(
              `${at}.subresources.scale.${name}`,
              scale[name],
              `should be a json path under ${prefix.slice(0, -1)}`,
            ),
          )
      }
      check('specReplicasPath', '.spec.')
      check('statusReplicasPath', '.status.')
    }
  })
  return errors
}

interface Where {
  readonly root?: boolean
  /** Inside allOf and its kin only value rules may stand. */
  readonly typed: boolean
}

function validateSchema(s: JsonSchemaProps, at: string, where: Where): FieldError[] {
  const errors: FieldError[] = []
  const forbid = (name: keyof JsonSchemaProps, why: string) => {
    if (s[name] !== undefined) errors.push(forbiddenField(`${at}.${name}`, why))
  }
  forbid('$ref', '$ref is not supported')
  forbid('patternProperties', 'patternProperties is not supported')
  forbid('additionalItems', 'additionalItems is not supported')
  if (s.uniqueItems === true)
    errors.push(
      forbiddenField(
        `${at}.uniqueItems`,
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    )
  if (Array.isArray(s.items))
    errors.push(forbiddenField(`${at}.items`, 'items must be a schema object and not an array'))
  const free = s['x-kubernetes-int-or-string'] === true || s['x-kubernetes-preserve-unknown-fields'] === true
  if (where.typed) {
    if (s.type === undefined || s.type === '') {
      if (!free)
        errors.push(
          requiredField(
            `${at}.type`,
            where.root === true ? 'must not be empty at the root' : 'must not be empty for specified object fields',
          ),
        )
    } else if (!types.includes(s.type)) errors.push(notSupportedField(`${at}.type`, s.type, types))
    if (where.root === true && s.type !== undefined && s.type !== '' && s.type !== 'object')
      errors.push(invalidField(`${at}.type`, s.type, 'must be object at the root'))
    if (where.root === true && s.nullable === true)
      errors.push(forbiddenField(`${at}.nullable`, 'nullable cannot be true at the root'))
    if (s.properties !== undefined && s.additionalProperties !== undefined && s.additionalProperties !== false)
      errors.push(
        forbiddenField(`${at}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'),
      )
    if (s.type === 'array' && s.items === undefined) errors.push(requiredField(`${at}.items`, 'must be specified'))
    errors.push(...validateListType(s, at))
    if (s['x-kubernetes-embedded-resource'] === true && s.type !== 'object')
      errors.push(invalidField(`${at}.type`, s.type, 'must be object if x-kubernetes-embedded-resource is true'))
  } else {
    for (const name of [
      'type',
      'default',
      'description',
      'nullable',
      'additionalProperties',
      'x-kubernetes-preserve-unknown-fields',
      'x-kubernetes-embedded-resource',
    ] as const)
      if (name !== 'type' || s['x-kubernetes-int-or-string'] !== true) {
        // Allowed inside anyOf of an int-or-string: its two types.
        if (
          s[name] !== undefined &&
          s[name] !== '' &&
          !(name === 'type' && (s.type === 'integer' || s.type === 'string'))
        )
          errors.push(forbiddenField(`${at}.${name}`, 'must be empty to be structural'))
      }
  }
  if (s.pattern !== undefined) {
    try {
      new RegExp(s.pattern, 'u')
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      errors.push(
        invalidField(`${at}.pattern`, s.pattern, "must be a valid regular expression, but isn't: " + error.message),
      )
    }
  }
  s['x-kubernetes-validations']?.forEach((rule, i) => {
    const here = `${at}.x-kubernetes-validations[${i}]`
    if (rule.rule.trim() === '') errors.push(requiredField(`${here}.rule`))
    if (rule.message !== undefined && /[\r\n]/.test(rule.message))
      errors.push(invalidField(`${here}.message`, rule.message, 'message must not contain line breaks'))
  })
  for (const [name, property] of Object.entries(s.properties ?? {}))
    errors.push(...validateSchema(property, `${at}.properties[${name}]`, { typed: where.typed }))
  if (typeof s.additionalProperties === 'object')
    errors.push(...validateSchema(s.additionalProperties, `${at}.additionalProperties`, { typed: where.typed }))
  if (s.items !== undefined && !Array.isArray(s.items))
    errors.push(...validateSchema(s.items as JsonSchemaProps, `${at}.items`, { typed: where.typed }))
  for (const name of ['allOf', 'anyOf', 'oneOf'] as const)
    s[name]?.forEach((sub, i) => errors.push(...validateSchema(sub, `${at}.${name}[${i}]`, { typed: false })))
  if (s.not !== undefined) errors.push(...validateSchema(s.not, `${at}.not`, { typed: false }))
  return errors
}

function validateListType(s: JsonSchemaProps, at: string): FieldError[] {
  const errors: FieldError[] = []
  const listType = s['x-kubernetes-list-type']
  const keys = s['x-kubernetes-list-map-keys'] ?? []
  if (listType !== undefined) {
    if (s.type !== 'array')
      errors.push(invalidField(`${at}.type`, s.type ?? '', 'must be array if x-kubernetes-list-type is specified'))
    if (!['atomic', 'set', 'map'].includes(listType))
      errors.push(notSupportedField(`${at}.x-kubernetes-list-type`, listType, ['atomic', 'set', 'map']))
  }
  if (keys.length > 0 && listType !== 'map')
    errors.push(
      invalidField(
        `${at}.x-kubernetes-list-type`,
        listType ?? '',
        'must be map if x-kubernetes-list-map-keys is non-empty',
      ),
    )
  if (listType === 'map') {
    if (keys.length === 0)
      errors.push(
        requiredField(`${at}.x-kubernetes-list-map-keys`, 'must not be empty if x-kubernetes-list-type is map'),
      )
    const items = s.items as JsonSchemaProps | undefined
    keys.forEach((key, i) => {
      const property = items?.properties?.[key]
      if (property === undefined)
        errors.push(
          invalidField(`${at}.x-kubernetes-list-map-keys[${i}]`, key, 'does not have a property of the same name'),
        )
      else if (!(items?.required ?? []).includes(key) && property.default === undefined)
        errors.push(
          requiredField(
            `${at}.items.properties[${key}].default`,
            'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
          ),
        )
    })
  }
  const mapType = s['x-kubernetes-map-type']
  if (mapType !== undefined && !['atomic', 'granular'].includes(mapType))
    errors.push(notSupportedField(`${at}.x-kubernetes-map-type`, mapType, ['atomic', 'granular']))
  return errors
}

export function validateDefinitionUpdate(next: CustomResourceDefinition, old: CustomResourceDefinition): FieldError[] {
  const errors: FieldError[] = []
  const established = old.status.conditions?.some((c) => c.type === 'Established' && c.status === 'True') === true
  const fixed = (field: string, a: string, b: string) => {
    if (a !== b) errors.push(invalidField(field, a, 'field is immutable'))
  }
  fixed('spec.group', next.spec.group, old.spec.group)
  fixed('spec.names.plural', next.spec.names.plural, old.spec.names.plural)
  if (established) {
    fixed('spec.scope', next.spec.scope, old.spec.scope)
    fixed('spec.names.kind', next.spec.names.kind, old.spec.names.kind)
  }
  for (const name of old.status.storedVersions ?? [])
    if (!next.spec.versions.some((v) => v.name === name))
      errors.push(invalidField('status.storedVersions[0]', name, 'must appear in spec.versions'))
  return errors
}
