// apiregistration.k8s.io/v1 APIService: an API group version that another server answers.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, boolean, bytes, int32, object, optional, required, string, struct, time } from '../machinery/schema.ts'

const AGG = 'io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.'
const schema = kindSchema(`${AGG}APIService`, {
  spec: struct(
    2,
    object(`${AGG}APIServiceSpec`, {
      service: optional(
        1,
        object(`${AGG}ServiceReference`, {
          namespace: optional(1, string()),
          name: optional(2, string()),
          port: optional(3, int32()),
        }),
      ),
      group: optional(2, string()),
      version: optional(3, string()),
      insecureSkipTLSVerify: optional(4, boolean(), { omitZero: true }),
      caBundle: optional(5, bytes(), { extensions: { 'x-kubernetes-list-type': 'atomic' } }),
      groupPriorityMinimum: required(7, int32()),
      versionPriority: required(8, int32()),
    }),
  ),
  status: struct(
    3,
    object(`${AGG}APIServiceStatus`, {
      conditions: optional(
        1,
        array(
          object(`${AGG}APIServiceCondition`, {
            type: required(1, string()),
            status: required(2, string()),
            lastTransitionTime: optional(3, time()),
            reason: optional(4, string()),
            message: optional(5, string()),
          }),
          { listType: 'map', listMapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' },
        ),
      ),
    }),
  ),
})
export interface ApiService extends ObjectOf<typeof schema> {}

function validate({ metadata, spec }: ApiService): FieldError[] {
  const errors: FieldError[] = []
  const wanted = `${spec.version ?? ''}.${spec.group ?? ''}`
  if (metadata.name !== wanted)
    errors.push(invalidField('metadata.name', metadata.name, `must be \`spec.version+"."+spec.group\`: "${wanted}"`))
  if ((spec.group ?? '') === '' && spec.version !== 'v1')
    errors.push(requiredField('spec.group', 'only v1 may have an empty group and it better be legacy kube'))
  if ((spec.version ?? '') === '') errors.push(requiredField('spec.version'))
  if (spec.groupPriorityMinimum <= 0 || spec.groupPriorityMinimum > 20_000)
    errors.push(
      invalidField('spec.groupPriorityMinimum', spec.groupPriorityMinimum, 'must be positive and less than 20000'),
    )
  if (spec.versionPriority <= 0 || spec.versionPriority > 1000)
    errors.push(invalidField('spec.versionPriority', spec.versionPriority, 'must be positive and less than 1000'))
  if (spec.service === undefined) {
    if ((spec.caBundle ?? '') !== '')
      errors.push(invalidField('spec.caBundle', '', 'local APIServices may not have a caBundle'))
    if (spec.insecureSkipTLSVerify === true)
      errors.push(
        invalidField('spec.insecureSkipTLSVerify', true, 'local APIServices may not have insecureSkipTLSVerify'),
      )
    return errors
  }
  if ((spec.service.namespace ?? '') === '') errors.push(requiredField('spec.service.namespace'))
  if ((spec.service.name ?? '') === '') errors.push(requiredField('spec.service.name'))
  const port = spec.service.port ?? 443
  if (port < 1 || port > 65_535)
    errors.push(invalidField('spec.service.port', port, 'must be between 1 and 65535, inclusive'))
  if (spec.insecureSkipTLSVerify === true && (spec.caBundle ?? '') !== '')
    errors.push(invalidField('spec.insecureSkipTLSVerify', true, 'may not be true if caBundle is present'))
  return errors
}

/** What this server answers itself is always there. */
const localStatus = (now: string | undefined) => ({
  conditions: [
    {
      type: 'Available',
      status: 'True',
      reason: 'Local',
      message: 'Local APIServices are always available',
      ...(now === undefined ? {} : { lastTransitionTime: now }),
    },
  ],
})

export const apiServices = defineKind<ApiService>({
  group: 'apiregistration.k8s.io',
  version: 'v1',
  kind: 'APIService',
  plural: 'apiservices',
  singular: 'apiservice',
  categories: ['api-extensions'],
  namespaced: false,
  nameRule: 'path-segment',
  schema,
  storagePrefix: '/registry/apiregistration.k8s.io/apiservices',
  subresources: { status: true },
  unconditionalUpdate: true,
  plainFinalizers: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Service', type: 'string' },
      { name: 'Available', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => {
      const available = o.status.conditions?.find((c) => c.type === 'Available')
      const cell =
        available === undefined
          ? 'Unknown'
          : available.status === 'True'
            ? 'True'
            : `${available.status} (${available.reason ?? ''})`
      return [
        o.metadata.name,
        o.spec.service === undefined ? 'Local' : `${o.spec.service.namespace}/${o.spec.service.name}`,
        cell,
        ageCell(o.metadata.creationTimestamp, nowMs),
      ]
    },
  },
  setDefaults: ({ spec }) => {
    if (spec.service !== undefined) spec.service.port ??= 443
  },
  prepareForCreate: (draft) => {
    draft.status = draft.spec.service === undefined ? localStatus(draft.metadata.creationTimestamp) : {}
  },
  validate,
})
