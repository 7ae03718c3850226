// apiextensions.k8s.io/v1 CustomResourceDefinition: a kind that arrives at run time.
import { type FieldError } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import {
  any,
  array,
  boolean,
  bytes,
  type Infer,
  int32,
  int64,
  object,
  optional,
  required,
  string,
  struct,
  time,
} from '../machinery/schema.ts'
import { APIEXT, type JsonSchemaProps, jsonSchemaProps } from './json-schema-props.ts'
import { settleSchema } from './settle-schema.ts'
import { validateDefinition, validateDefinitionUpdate } from './crd-validation.ts'

/** Its absence is reported by the rules of definitions, in their own words. */
const mayBeEmpty = { mayBeEmpty: true } as const
const words = () => array(string(), { listType: 'atomic' })
export const crdNames = object(`${APIEXT}CustomResourceDefinitionNames`, {
  plural: required(1, string()),
  singular: optional(2, string()),
  shortNames: optional(3, words()),
  kind: required(4, string()),
  listKind: optional(5, string()),
  categories: optional(6, words()),
})
export interface CrdNames extends Infer<typeof crdNames> {}
export const crdVersion = object(`${APIEXT}CustomResourceDefinitionVersion`, {
  name: required(1, string()),
  served: required(2, boolean()),
  storage: required(3, boolean()),
  schema: optional(4, object(`${APIEXT}CustomResourceValidation`, { openAPIV3Schema: optional(1, jsonSchemaProps) })),
  subresources: optional(
    5,
    object(`${APIEXT}CustomResourceSubresources`, {
      status: optional(1, any(`${APIEXT}CustomResourceSubresourceStatus`)),
      scale: optional(
        2,
        object(`${APIEXT}CustomResourceSubresourceScale`, {
          specReplicasPath: required(1, string(), mayBeEmpty),
          statusReplicasPath: required(2, string(), mayBeEmpty),
          labelSelectorPath: optional(3, string()),
        }),
      ),
    }),
  ),
  additionalPrinterColumns: optional(
    6,
    array(
      object(`${APIEXT}CustomResourceColumnDefinition`, {
        name: required(1, string(), mayBeEmpty),
        type: required(2, string(), mayBeEmpty),
        format: optional(3, string(), { omitZero: true }),
        description: optional(4, string(), { omitZero: true }),
        priority: optional(5, int32(), { omitZero: true }),
        jsonPath: required(6, string(), mayBeEmpty),
      }),
      { listType: 'atomic' },
    ),
  ),
  deprecated: optional(7, boolean(), { omitZero: true }),
  deprecationWarning: optional(8, string()),
  selectableFields: optional(
    9,
    array(object(`${APIEXT}SelectableField`, { jsonPath: required(1, string(), mayBeEmpty) }), { listType: 'atomic' }),
  ),
})
export interface CrdVersion extends Infer<typeof crdVersion> {}
/** The schema of a version as JSON schema; undefined when the author gave none. */
export const schemaOf = (version: CrdVersion): JsonSchemaProps | undefined =>
  version.schema?.openAPIV3Schema as JsonSchemaProps | undefined

const crdSpec = object(`${APIEXT}CustomResourceDefinitionSpec`, {
  group: required(1, string()),
  names: required(3, crdNames),
  scope: required(4, string()),
  versions: required(7, array(crdVersion, { listType: 'atomic' }), mayBeEmpty),
  conversion: optional(
    9,
    object(`${APIEXT}CustomResourceConversion`, {
      strategy: required(1, string()),
      webhook: optional(
        2,
        object(`${APIEXT}WebhookConversion`, {
          clientConfig: optional(
            2,
            object(`${APIEXT}WebhookClientConfig`, {
              service: optional(
                1,
                object(`${APIEXT}ServiceReference`, {
                  namespace: required(1, string(), mayBeEmpty),
                  name: required(2, string(), mayBeEmpty),
                  path: optional(3, string()),
                  port: optional(4, int32()),
                }),
              ),
              caBundle: optional(2, bytes()),
              url: optional(3, string()),
            }),
          ),
          conversionReviewVersions: required(3, words(), mayBeEmpty),
        }),
      ),
    }),
  ),
  preserveUnknownFields: optional(10, boolean(), { omitZero: true }),
})
export interface CrdSpec extends Infer<typeof crdSpec> {}
const crdStatus = object(`${APIEXT}CustomResourceDefinitionStatus`, {
  conditions: optional(
    1,
    array(
      object(`${APIEXT}CustomResourceDefinitionCondition`, {
        type: required(1, string()),
        status: required(2, string()),
        lastTransitionTime: optional(3, time()),
        reason: optional(4, string()),
        message: optional(5, string()),
        observedGeneration: optional(6, int64()),
      }),
      { listType: 'map', listMapKeys: ['type'] },
    ),
  ),
  acceptedNames: optional(2, crdNames, { publishDefault: true }),
  storedVersions: optional(3, words()),
  observedGeneration: optional(4, int64()),
})
const schema = kindSchema(`${APIEXT}CustomResourceDefinition`, {
  spec: required(2, crdSpec),
  status: struct(3, crdStatus),
})
export interface CustomResourceDefinition extends ObjectOf<typeof schema> {}

/** The finalizer under which the definition's objects are deleted first. */
export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io'

export const customResourceDefinitions = defineKind<CustomResourceDefinition>({
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  singular: 'customresourcedefinition',
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  namespaced: false,
  schema,
  storagePrefix: '/registry/apiextensions.k8s.io/customresourcedefinitions',
  storageVersion: 'v1beta1',
  subresources: { status: true },
  generation: true,
  plainFinalizers: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Created At', type: 'date' },
    ],
    row: (o) => [o.metadata.name, o.metadata.creationTimestamp],
  },
  setDefaults: ({ spec }) => {
    spec.names.singular =
      spec.names.singular === undefined || spec.names.singular === ''
        ? spec.names.kind.toLowerCase()
        : spec.names.singular
    if ((spec.names.listKind ?? '') === '' && spec.names.kind !== '') spec.names.listKind = `${spec.names.kind}List`
    for (const version of spec.versions) {
      const props = version.schema?.openAPIV3Schema
      if (props !== undefined) settleSchema(props)
    }
    spec.conversion ??= { strategy: 'None' }
    const service = spec.conversion.webhook?.clientConfig?.service
    if (service !== undefined) service.port ??= 443
  },
  prepareForCreate: (draft) => {
    draft.status = { storedVersions: draft.spec.versions.filter((v) => v.storage).map((v) => v.name) }
    draft.metadata.finalizers = [...new Set([...(draft.metadata.finalizers ?? []), cleanupFinalizer])]
  },
  prepareForUpdate: (draft) => {
    const stored = new Set(draft.status.storedVersions ?? [])
    for (const v of draft.spec.versions) if (v.storage) stored.add(v.name)
    draft.status.storedVersions = [...stored]
  },
  validate: (o): readonly FieldError[] => validateDefinition(o),
  validateUpdate: (next, old): readonly FieldError[] => validateDefinitionUpdate(next, old),
})
