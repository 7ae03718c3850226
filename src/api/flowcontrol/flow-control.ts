// flowcontrol.apiserver.k8s.io/v1: which requests share a queue (FlowSchema) and how much of the server each queue set
// may use (PriorityLevelConfiguration). See "API Priority and Fairness".
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  boolean,
  type Infer,
  int32,
  object,
  optional,
  required,
  string,
  struct,
  time,
} from '../machinery/schema.ts'

const FLOW = 'io.k8s.api.flowcontrol.v1.'
const wordSet = () => array(string(), { listType: 'set' })
const conditionsOf = (name: string) =>
  array(
    object(`${FLOW}${name}`, {
      type: optional(1, string()),
      status: optional(2, string()),
      lastTransitionTime: optional(3, time()),
      reason: optional(4, string()),
      message: optional(5, string()),
    }),
    { listType: 'map', listMapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' },
  )

const flowSubject = object(
  `${FLOW}Subject`,
  {
    kind: required(1, string()),
    user: optional(2, object(`${FLOW}UserSubject`, { name: required(1, string()) })),
    group: optional(3, object(`${FLOW}GroupSubject`, { name: required(1, string()) })),
    serviceAccount: optional(
      4,
      object(`${FLOW}ServiceAccountSubject`, { namespace: required(1, string()), name: required(2, string()) }),
    ),
  },
  { unions: [{ discriminator: 'kind', fields: { group: 'Group', serviceAccount: 'ServiceAccount', user: 'User' } }] },
)
const rulesWithSubjects = object(`${FLOW}PolicyRulesWithSubjects`, {
  subjects: required(1, array(flowSubject, { listType: 'atomic' })),
  resourceRules: optional(
    2,
    array(
      object(`${FLOW}ResourcePolicyRule`, {
        verbs: required(1, wordSet()),
        apiGroups: required(2, wordSet()),
        resources: required(3, wordSet()),
        clusterScope: optional(4, boolean()),
        namespaces: optional(5, wordSet()),
      }),
      { listType: 'atomic' },
    ),
  ),
  nonResourceRules: optional(
    3,
    array(
      object(`${FLOW}NonResourcePolicyRule`, {
        verbs: required(1, wordSet()),
        nonResourceURLs: required(6, wordSet()),
      }),
      {
        listType: 'atomic',
      },
    ),
  ),
})
export interface RulesWithSubjects extends Infer<typeof rulesWithSubjects> {}
const flowSchemaSchema = kindSchema(`${FLOW}FlowSchema`, {
  spec: struct(
    2,
    object(`${FLOW}FlowSchemaSpec`, {
      priorityLevelConfiguration: required(
        1,
        object(`${FLOW}PriorityLevelConfigurationReference`, { name: required(1, string()) }),
      ),
      matchingPrecedence: optional(2, int32(), { omitZero: true, publishDefault: true }),
      distinguisherMethod: optional(3, object(`${FLOW}FlowDistinguisherMethod`, { type: required(1, string()) })),
      rules: optional(4, array(rulesWithSubjects, { listType: 'atomic' })),
    }),
  ),
  status: struct(
    3,
    object(`${FLOW}FlowSchemaStatus`, { conditions: optional(1, conditionsOf('FlowSchemaCondition')) }),
  ),
})
export interface FlowSchema extends ObjectOf<typeof flowSchemaSchema> {}

const common = {
  group: 'flowcontrol.apiserver.k8s.io',
  version: 'v1',
  namespaced: false,
  generation: true,
  unconditionalUpdate: true,
  subresources: { status: true },
} as const

function validateFlowSchema({ metadata, spec }: FlowSchema): FieldError[] {
  const errors: FieldError[] = []
  const precedence = spec.matchingPrecedence ?? 0
  if (precedence < 1 || precedence > 10_000)
    errors.push(
      invalidField('spec.matchingPrecedence', precedence, 'must be greater than 0 and less than or equal to 10000'),
    )
  if (precedence === 1 && metadata.name !== 'exempt')
    errors.push(
      invalidField(
        'spec.matchingPrecedence',
        precedence,
        `only the schema named 'exempt' may have matchingPrecedence 1`,
      ),
    )
  if (spec.priorityLevelConfiguration.name === '')
    errors.push(requiredField('spec.priorityLevelConfiguration.name', 'must reference a priority level'))
  const method = spec.distinguisherMethod?.type
  if (method !== undefined && !['ByNamespace', 'ByUser'].includes(method))
    errors.push(notSupportedField('spec.distinguisherMethod.type', method, ['ByNamespace', 'ByUser']))
  spec.rules?.forEach((rule, i) => {
    const at = `spec.rules[${i}]`
    if (rule.subjects.length === 0)
      errors.push(requiredField(`${at}.subjects`, 'subjects must contain at least one value'))
    if ((rule.resourceRules ?? []).length === 0 && (rule.nonResourceRules ?? []).length === 0)
      errors.push(requiredField(at, 'at least one of resourceRules and nonResourceRules has to be non-empty'))
    rule.subjects.forEach((s, j) => {
      if (!['Group', 'ServiceAccount', 'User'].includes(s.kind))
        errors.push(notSupportedField(`${at}.subjects[${j}].kind`, s.kind, ['Group', 'ServiceAccount', 'User']))
    })
    rule.resourceRules?.forEach((r, j) => {
      const here = `${at}.resourceRules[${j}]`
      if (r.verbs.length === 0) errors.push(requiredField(`${here}.verbs`))
      if (r.apiGroups.length === 0) errors.push(requiredField(`${here}.apiGroups`))
      if (r.resources.length === 0) errors.push(requiredField(`${here}.resources`))
      if ((r.namespaces ?? []).length === 0 && r.clusterScope !== true)
        errors.push(
          requiredField(
            `${here}.namespaces`,
            'resource rules that are not cluster scoped must supply at least one namespace',
          ),
        )
    })
  })
  return errors
}

export const flowSchemas = defineKind<FlowSchema>({
  ...common,
  kind: 'FlowSchema',
  plural: 'flowschemas',
  singular: 'flowschema',
  schema: flowSchemaSchema,
  storagePrefix: '/registry/flowschemas',
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'PriorityLevel', type: 'string' },
      { name: 'MatchingPrecedence', type: 'string' },
      { name: 'DistinguisherMethod', type: 'string' },
      { name: 'Age', type: 'string' },
      { name: 'MissingPL', type: 'string' },
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      o.spec.priorityLevelConfiguration.name,
      o.spec.matchingPrecedence ?? 0,
      o.spec.distinguisherMethod?.type ?? '<none>',
      ageCell(o.metadata.creationTimestamp, nowMs),
      o.status.conditions?.find((c) => c.type === 'Dangling')?.status ?? '?',
    ],
  },
  setDefaults: ({ spec }) => {
    spec.matchingPrecedence ??= 1000
  },
  prepareForCreate: (draft) => {
    draft.status = {}
  },
  validate: validateFlowSchema,
})

const queuing = object(`${FLOW}QueuingConfiguration`, {
  queues: optional(1, int32(), { publishDefault: true }),
  handSize: optional(2, int32(), { publishDefault: true }),
  queueLengthLimit: optional(3, int32(), { publishDefault: true }),
})
const limited = object(`${FLOW}LimitedPriorityLevelConfiguration`, {
  nominalConcurrencyShares: optional(1, int32()),
  limitResponse: struct(
    2,
    object(
      `${FLOW}LimitResponse`,
      { type: required(1, string()), queuing: optional(2, queuing) },
      { unions: [{ discriminator: 'type', fields: { queuing: 'Queuing' } }] },
    ),
  ),
  lendablePercent: optional(3, int32()),
  borrowingLimitPercent: optional(4, int32()),
})
const priorityLevelSchema = kindSchema(`${FLOW}PriorityLevelConfiguration`, {
  spec: struct(
    2,
    object(
      `${FLOW}PriorityLevelConfigurationSpec`,
      {
        type: required(1, string()),
        limited: optional(2, limited),
        exempt: optional(
          3,
          object(`${FLOW}ExemptPriorityLevelConfiguration`, {
            nominalConcurrencyShares: optional(1, int32()),
            lendablePercent: optional(2, int32()),
          }),
        ),
      },
      { unions: [{ discriminator: 'type', fields: { exempt: 'Exempt', limited: 'Limited' } }] },
    ),
  ),
  status: struct(
    3,
    object(`${FLOW}PriorityLevelConfigurationStatus`, {
      conditions: optional(1, conditionsOf('PriorityLevelConfigurationCondition')),
    }),
  ),
})
export interface PriorityLevelConfiguration extends ObjectOf<typeof priorityLevelSchema> {}

function validatePriorityLevel({ spec }: PriorityLevelConfiguration): FieldError[] {
  const errors: FieldError[] = []
  if (spec.type === 'Exempt') {
    if (spec.limited !== undefined)
      errors.push(forbiddenField('spec.limited', 'must be nil if the type is not Limited'))
    return errors
  }
  if (spec.type !== 'Limited') return [notSupportedField('spec.type', spec.type, ['Exempt', 'Limited'])]
  if (spec.exempt !== undefined) errors.push(forbiddenField('spec.exempt', 'must be nil if the type is Limited'))
  if (spec.limited === undefined)
    return [...errors, requiredField('spec.limited', 'must not be empty when type is Limited')]
  const { limitResponse, nominalConcurrencyShares = 30, lendablePercent = 0 } = spec.limited
  if (nominalConcurrencyShares < 0)
    errors.push(
      invalidField('spec.limited.nominalConcurrencyShares', nominalConcurrencyShares, 'must be a non-negative integer'),
    )
  if (lendablePercent < 0 || lendablePercent > 100)
    errors.push(invalidField('spec.limited.lendablePercent', lendablePercent, 'must be between 0 and 100, inclusive'))
  if (!['Queue', 'Reject'].includes(limitResponse.type))
    errors.push(notSupportedField('spec.limited.limitResponse.type', limitResponse.type, ['Queue', 'Reject']))
  if (limitResponse.type === 'Queue') {
    const q = limitResponse.queuing
    if (q === undefined)
      errors.push(
        requiredField('spec.limited.limitResponse.queuing', 'must not be empty if limited.limitResponse.type is Queue'),
      )
    else {
      const at = 'spec.limited.limitResponse.queuing'
      if ((q.queues ?? 64) < 1) errors.push(invalidField(`${at}.queues`, q.queues, 'must be positive'))
      if ((q.queueLengthLimit ?? 50) < 1)
        errors.push(invalidField(`${at}.queueLengthLimit`, q.queueLengthLimit, 'must be positive'))
      if ((q.handSize ?? 8) < 1) errors.push(invalidField(`${at}.handSize`, q.handSize, 'must be positive'))
      if ((q.handSize ?? 8) > (q.queues ?? 64))
        errors.push(invalidField(`${at}.handSize`, q.handSize, `should not be greater than queues (${q.queues})`))
    }
  }
  return errors
}

export const priorityLevelConfigurations = defineKind<PriorityLevelConfiguration>({
  ...common,
  kind: 'PriorityLevelConfiguration',
  plural: 'prioritylevelconfigurations',
  singular: 'prioritylevelconfiguration',
  schema: priorityLevelSchema,
  storagePrefix: '/registry/prioritylevelconfigurations',
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Type', type: 'string' },
      { name: 'NominalConcurrencyShares', type: 'string' },
      { name: 'Queues', type: 'string' },
      { name: 'HandSize', type: 'string' },
      { name: 'QueueLengthLimit', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => {
      const q = o.spec.limited?.limitResponse.queuing
      const shares = o.spec.limited?.nominalConcurrencyShares ?? o.spec.exempt?.nominalConcurrencyShares
      return [
        o.metadata.name,
        o.spec.type,
        shares === undefined ? '<none>' : String(shares),
        String(q?.queues ?? '<none>'),
        String(q?.handSize ?? '<none>'),
        String(q?.queueLengthLimit ?? '<none>'),
        ageCell(o.metadata.creationTimestamp, nowMs),
      ]
    },
  },
  setDefaults: ({ spec }) => {
    if (spec.exempt !== undefined) {
      spec.exempt.nominalConcurrencyShares ??= 0
      spec.exempt.lendablePercent ??= 0
    }
    if (spec.limited === undefined) return
    spec.limited.nominalConcurrencyShares ??= 30
    spec.limited.lendablePercent ??= 0
    const q = spec.limited.limitResponse.queuing
    if (q !== undefined) {
      q.queues ??= 64
      q.handSize ??= 8
      q.queueLengthLimit ??= 50
    }
  },
  prepareForCreate: (draft) => {
    draft.status = {}
  },
  validate: validatePriorityLevel,
})
