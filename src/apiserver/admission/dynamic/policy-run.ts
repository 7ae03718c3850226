// What both sorts of policy have in common: for which bindings, versions and parameters a policy runs, and its variables.
import type { MatchCondition } from '../../../api/admissionregistration/match.ts'
import { perCallBudget } from '../../../api/machinery/cel.ts'
import { CelError, ComputedStruct, fromJson, type Result, type Value } from '../../../api/machinery/cel/values.ts'
import type { ServedResource } from '../../resources.ts'
import type { Attributes } from './attributes.ts'
import { type Evaluation, evaluationOf, meets } from './evaluation.ts'
import { matchRequest } from './matching.ts'
import { paramsOf } from './policy-params.ts'
import type { BoundPolicy, CompiledPolicy } from './policy-source.ts'

interface PolicySpec {
  readonly spec: {
    readonly paramKind?: { readonly apiVersion?: string | undefined; readonly kind?: string | undefined } | undefined
    readonly failurePolicy?: string | undefined
    readonly matchConditions?: readonly MatchCondition[] | undefined
  }
}
interface BindingSpec {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly paramRef?: Parameters<typeof paramsOf>[2] }
}

/** One run of a policy: for one binding and one set of parameters. */
export interface Run<B> {
  readonly binding: B
  readonly version: ServedResource
  /** Undefined where the policy could not even begin: `problem` says why. */
  readonly evaluation: Evaluation | undefined
  readonly problem: string | undefined
  /** The problem is the binding's configuration. */
  readonly misconfigured: boolean
  readonly id: string
}

/** The runs of a policy for a request, one after the other: each sees what the one before has changed. */
export async function* runsOf<P extends PolicySpec, B extends BindingSpec>(
  attributes: Attributes,
  policy: BoundPolicy<P, B>,
): AsyncGenerator<Run<B>> {
  const version = await matchRequest(attributes, policy.criteria)
  if (version === undefined) return
  const { paramKind } = policy.policy.spec
  for (const { binding, criteria } of policy.bindings) {
    if (criteria !== undefined && (await matchRequest(attributes, criteria)) === undefined) continue
    const params = await paramsOf(attributes, paramKind, binding.spec.paramRef)
    const { name } = binding.metadata
    const failed = (problem: string, misconfigured: boolean): Run<B> => ({
      binding,
      version,
      evaluation: undefined,
      problem,
      misconfigured,
      id: name,
    })
    if ('problem' in params) {
      yield failed(`failed to configure binding: ${params.problem}`, true)
      continue
    }
    for (const [i, param] of params.entries()) {
      const base = await evaluationOf(attributes, version)
      const more = paramKind === undefined ? {} : { params: param === undefined ? null : fromJson(param, undefined) }
      const evaluation = withVariables(policy, base, more)
      const met = await meets(policy.conditions, evaluation)
      if ('error' in met) {
        yield failed(met.error, false)
        continue
      }
      if (met.met) yield { binding, version, evaluation, problem: undefined, misconfigured: false, id: `${name}/${i}` }
    }
  }
}

/** An evaluation with more or other values, and the policy's own variables over them. */
export function withVariables(
  policy: CompiledPolicy<unknown>,
  { budget, variables }: Evaluation,
  more: Readonly<Record<string, Value>>,
): Evaluation {
  const values: Record<string, Value> = { ...variables, ...more }
  const evaluation: Evaluation = { budget, variables: values }
  values['variables'] = variablesOf(policy, evaluation)
  return evaluation
}

/** Variables are worked out when they are read, once. */
function variablesOf({ variables }: CompiledPolicy<unknown>, evaluation: Evaluation): Value {
  const known = new Map<string, Result>()
  return new ComputedStruct('kubernetes.variables', (name) => {
    const before = known.get(name)
    if (before !== undefined) return before
    const variable = variables.find((v) => v.name === name)
    if (variable === undefined) return undefined
    const value = computed(variable, evaluation)
    known.set(name, value)
    return value
  })
}
function computed({ name, program }: CompiledPolicy['variables'][number], evaluation: Evaluation): Result {
  if (typeof program === 'string') return new CelError(`composited variable "${name}" fails to compile: ${program}`)
  const answer = program.run(evaluation.variables, Math.max(0, Math.min(evaluation.budget, perCallBudget)))
  evaluation.budget -= answer.cost
  return answer.ok ? answer.value : new CelError(`composited variable "${name}" fails to evaluate: ${answer.error}`)
}
