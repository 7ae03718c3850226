// Admission policies with their bindings, compiled: read from this server's own collections, so that a policy is in force
// when its binding has been written.
import type {
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from '../../../api/admissionregistration/policies.ts'
import {
  compileExpression,
  type ExpressionScope,
  mutationTypes,
} from '../../../api/admissionregistration/expressions.ts'
import type { MatchResources } from '../../../api/admissionregistration/match.ts'
import type { CelProgram } from '../../../api/machinery/cel.ts'
import { bool, type CelType, dyn, string } from '../../../api/machinery/cel/types.ts'
import type { ServerContext } from '../../context.ts'
import type { Condition } from './evaluation.ts'
import type { MatchCriteria } from './matching.ts'
import { Derived } from './webhook-source.ts'

type AnyPolicy = ValidatingAdmissionPolicy | MutatingAdmissionPolicy
type AnyBinding = ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding

/** A program, or why there is none. */
export type Program = CelProgram | string
export interface CompiledPolicy<P = AnyPolicy> {
  readonly policy: P
  readonly criteria: MatchCriteria
  readonly conditions: readonly Condition[]
  readonly variables: readonly { readonly name: string; readonly program: Program }[]
  /** Of a validating policy: what must hold, and how a failure is put. */
  readonly validations: readonly { readonly expression: Program; readonly message: Program | undefined }[]
  readonly auditAnnotations: readonly Program[]
  /** Of a mutating policy, in the order of its mutations. */
  readonly mutations: readonly Program[]
}
export interface BoundPolicy<P, B> extends CompiledPolicy<P> {
  readonly bindings: readonly { readonly binding: B; readonly criteria: MatchCriteria | undefined }[]
}

const criteriaOf = (match: MatchResources): MatchCriteria => ({
  rules: match.resourceRules ?? [],
  excludeRules: match.excludeResourceRules,
  matchPolicy: match.matchPolicy,
  namespaceSelector: match.namespaceSelector,
  objectSelector: match.objectSelector,
})

function compile<P extends AnyPolicy>(policy: P): CompiledPolicy<P> {
  const { spec } = policy
  const types = new Map<string, CelType>()
  const mutates = 'mutations' in spec
  const scope: ExpressionScope = { params: spec.paramKind !== undefined, variables: types, mutates }
  const programOf = (expression: string, result?: CelType): Program => {
    const compiled = compileExpression(expression, scope, result)
    return compiled.ok ? compiled.program : `compilation error: ${compiled.error}`
  }
  const conditions = (spec.matchConditions ?? []).map(({ name, expression }) => ({
    name,
    program: programOf(expression, bool),
  }))
  const variables = (spec.variables ?? []).map(({ name, expression }) => {
    const program = programOf(expression)
    types.set(name, typeof program === 'string' ? dyn : program.type)
    return { name, program }
  })
  return {
    policy,
    criteria: criteriaOf(spec.matchConstraints ?? {}),
    conditions,
    variables,
    validations: ('validations' in spec ? (spec.validations ?? []) : []).map((v) => ({
      expression: programOf(v.expression, bool),
      message: v.messageExpression === undefined ? undefined : programOf(v.messageExpression, string),
    })),
    auditAnnotations: ('auditAnnotations' in spec ? (spec.auditAnnotations ?? []) : []).map((a) =>
      programOf(a.valueExpression),
    ),
    mutations: ('mutations' in spec ? (spec.mutations ?? []) : []).map((m) =>
      m.patchType === 'JSONPatch'
        ? programOf(m.jsonPatch?.expression ?? '', mutationTypes.JSONPatch)
        : programOf(m.applyConfiguration?.expression ?? '', mutationTypes.ApplyConfiguration),
    ),
  }
}

const policiesOf = <P extends AnyPolicy>(plural: string) =>
  new Derived<readonly CompiledPolicy<P>[]>(plural, (collection) =>
    collection
      .all('')
      .map((entry) => collection.object(entry) as unknown as P)
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map((policy) => compile(policy)),
  )
const bindingsOf = <B extends AnyBinding>(plural: string) =>
  new Derived<ReadonlyMap<string, BoundPolicy<AnyPolicy, B>['bindings']>>(plural, (collection) => {
    const byPolicy = new Map<string, { binding: B; criteria: MatchCriteria | undefined }[]>()
    for (const entry of collection.all('')) {
      const binding = collection.object(entry) as unknown as B
      if (binding.metadata.deletionTimestamp !== undefined) continue
      const { matchResources, policyName = '' } = binding.spec
      const criteria = matchResources === undefined ? undefined : bindingCriteria(matchResources)
      byPolicy.set(policyName, [...(byPolicy.get(policyName) ?? []), { binding, criteria }])
    }
    return byPolicy
  })
/** A binding without rules leaves them to the policy. */
function bindingCriteria(match: MatchResources): MatchCriteria {
  const criteria = criteriaOf(match)
  return criteria.rules.length > 0 ? criteria : { ...criteria, rules: [everything] }
}
const everything = { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'], scope: '*' }

/** Policies of one sort that have bindings. */
class PolicySource<P extends AnyPolicy, B extends AnyBinding> {
  private readonly policies: Derived<readonly CompiledPolicy<P>[]>
  private readonly bindings: Derived<ReadonlyMap<string, BoundPolicy<P, B>['bindings']>>
  constructor(policies: string, bindings: string) {
    this.policies = policiesOf<P>(policies)
    this.bindings = bindingsOf<B>(bindings)
  }
  /** Undefined where nothing is bound; at once, unless the collections are not loaded yet. */
  of(
    server: ServerContext,
  ): readonly BoundPolicy<P, B>[] | undefined | Promise<readonly BoundPolicy<P, B>[] | undefined> {
    const bindings = this.bindings.of(server)
    if (bindings === undefined) return undefined
    const policies = this.policies.of(server)
    if (policies === undefined) return undefined
    if (bindings instanceof Promise || policies instanceof Promise)
      return Promise.all([policies, bindings]).then(([p, b]) => bound(p, b))
    return bound(policies, bindings)
  }
}
function bound<P, B>(
  policies: readonly CompiledPolicy<P>[] | undefined,
  bindings: ReadonlyMap<string, BoundPolicy<P, B>['bindings']> | undefined,
): readonly BoundPolicy<P, B>[] | undefined {
  const found = (policies ?? []).flatMap((compiled) => {
    const { name } = (compiled.policy as AnyPolicy).metadata
    const own = bindings?.get(name)
    return own === undefined ? [] : [{ ...compiled, bindings: own }]
  })
  return found.length === 0 ? undefined : found
}

export const validatingPolicies = new PolicySource<ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding>(
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
)
export const mutatingPolicies = new PolicySource<MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding>(
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
)
