// apiextensions.k8s.io/v1 JSONSchemaProps: the schema language of CRDs, itself described as a schema. It is recursive.
import {
  any,
  array,
  boolean,
  double,
  type Infer,
  int64,
  type Json,
  lazy,
  type LazySchema,
  map,
  object,
  optional,
  required,
  type Schema,
  string,
} from '../machinery/schema.ts'

export const APIEXT = 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.'

export const validationRule = object(`${APIEXT}ValidationRule`, {
  rule: required(1, string(), { mayBeEmpty: true }),
  message: optional(2, string(), { omitZero: true }),
  messageExpression: optional(3, string(), { omitZero: true }),
  reason: optional(4, string()),
  fieldPath: optional(5, string(), { omitZero: true }),
  optionalOldSelf: optional(6, boolean()),
})

/** A schema as its author wrote it. */
export interface JsonSchemaProps {
  readonly $ref?: string | undefined
  readonly $schema?: string | undefined
  readonly additionalItems?: Json | undefined
  readonly additionalProperties?: boolean | JsonSchemaProps | undefined
  readonly allOf?: readonly JsonSchemaProps[] | undefined
  readonly anyOf?: readonly JsonSchemaProps[] | undefined
  readonly default?: Json | undefined
  readonly description?: string | undefined
  readonly enum?: readonly Json[] | undefined
  readonly exclusiveMaximum?: boolean | undefined
  readonly exclusiveMinimum?: boolean | undefined
  readonly format?: string | undefined
  readonly items?: JsonSchemaProps | readonly JsonSchemaProps[] | undefined
  readonly maxItems?: number | undefined
  readonly maxLength?: number | undefined
  readonly maxProperties?: number | undefined
  readonly maximum?: number | undefined
  readonly minItems?: number | undefined
  readonly minLength?: number | undefined
  readonly minProperties?: number | undefined
  readonly minimum?: number | undefined
  readonly multipleOf?: number | undefined
  readonly not?: JsonSchemaProps | undefined
  readonly nullable?: boolean | undefined
  readonly oneOf?: readonly JsonSchemaProps[] | undefined
  readonly pattern?: string | undefined
  readonly patternProperties?: { readonly [key: string]: JsonSchemaProps } | undefined
  readonly properties?: { readonly [key: string]: JsonSchemaProps } | undefined
  readonly required?: readonly string[] | undefined
  readonly title?: string | undefined
  readonly type?: string | undefined
  readonly uniqueItems?: boolean | undefined
  readonly 'x-kubernetes-embedded-resource'?: boolean | undefined
  readonly 'x-kubernetes-int-or-string'?: boolean | undefined
  readonly 'x-kubernetes-list-map-keys'?: readonly string[] | undefined
  readonly 'x-kubernetes-list-type'?: string | undefined
  readonly 'x-kubernetes-map-type'?: string | undefined
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean | undefined
  readonly 'x-kubernetes-validations'?: readonly Infer<typeof validationRule>[] | undefined
}

const self: LazySchema<JsonSchemaProps> = lazy<JsonSchemaProps>((): Schema => jsonSchemaProps)
const atomic = { listType: 'atomic' } as const
/** Go scalars without a pointer: false and '' are as good as absent, whatever a protobuf body says of them. */
const byValue = { omitZero: true } as const
const schemas = () => array(self, atomic)
const json = () => any(`${APIEXT}JSON`)

export const jsonSchemaProps = object(`${APIEXT}JSONSchemaProps`, {
  id: optional(1, string(), byValue),
  $schema: optional(2, string(), byValue),
  $ref: optional(3, string()),
  description: optional(4, string(), byValue),
  type: optional(5, string(), byValue),
  format: optional(6, string(), byValue),
  title: optional(7, string(), byValue),
  default: optional(8, json()),
  maximum: optional(9, double()),
  exclusiveMaximum: optional(10, boolean(), byValue),
  minimum: optional(11, double()),
  exclusiveMinimum: optional(12, boolean(), byValue),
  maxLength: optional(13, int64()),
  minLength: optional(14, int64()),
  pattern: optional(15, string(), byValue),
  maxItems: optional(16, int64()),
  minItems: optional(17, int64()),
  uniqueItems: optional(18, boolean(), byValue),
  multipleOf: optional(19, double()),
  enum: optional(20, array(json(), atomic)),
  maxProperties: optional(21, int64()),
  minProperties: optional(22, int64()),
  required: optional(23, array(string(), atomic)),
  items: optional(24, any(`${APIEXT}JSONSchemaPropsOrArray`)),
  allOf: optional(25, schemas()),
  oneOf: optional(26, schemas()),
  anyOf: optional(27, schemas()),
  not: optional(28, self),
  properties: optional(29, map(self)),
  additionalProperties: optional(30, any(`${APIEXT}JSONSchemaPropsOrBool`)),
  patternProperties: optional(31, map(self)),
  dependencies: optional(32, map(any(`${APIEXT}JSONSchemaPropsOrStringArray`))),
  additionalItems: optional(33, any(`${APIEXT}JSONSchemaPropsOrBool`)),
  definitions: optional(34, map(self)),
  externalDocs: optional(
    35,
    object(`${APIEXT}ExternalDocumentation`, { description: optional(1, string()), url: optional(2, string()) }),
  ),
  example: optional(36, json()),
  nullable: optional(37, boolean(), byValue),
  'x-kubernetes-preserve-unknown-fields': optional(38, boolean()),
  'x-kubernetes-embedded-resource': optional(39, boolean(), byValue),
  'x-kubernetes-int-or-string': optional(40, boolean(), byValue),
  'x-kubernetes-list-map-keys': optional(41, array(string(), atomic)),
  'x-kubernetes-list-type': optional(42, string()),
  'x-kubernetes-map-type': optional(43, string()),
  'x-kubernetes-validations': optional(
    44,
    array(validationRule, { listType: 'map', listMapKeys: ['rule'], patchStrategy: 'merge', patchMergeKey: 'rule' }),
  ),
})
