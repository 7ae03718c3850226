// Runs the expressions of webhooks and policies over a request.
import { requestSchema } from '../../../api/admissionregistration/expressions.ts'
import { namespaces } from '../../../api/core/namespace.ts'
import { type CelAnswer, type CelProgram, perCallBudget } from '../../../api/machinery/cel.ts'
import { askOnce, authorizerValue, AwaitingDecision } from '../../../api/machinery/cel/authorizer.ts'
import { fromJson, type Value } from '../../../api/machinery/cel/values.ts'
import type { Json, JsonObject } from '../../../api/machinery/schema.ts'
import { selectorsOf } from '../../authorization/authorizer.ts'
import type { ServedResource } from '../../resources.ts'
import { requestOf } from './admission-review.ts'
import type { Attributes } from './attributes.ts'
import { namespaceOf } from './matching.ts'

/** What all expressions of one configuration may cost for one request. */
const configurationBudget = 10_000_000

/** The variables of a request in one version, and what is left to spend on it. */
export interface Evaluation {
  readonly variables: Readonly<Record<string, Value>>
  budget: number
}

/** `params` for a policy that has some. */
export async function evaluationOf(attributes: Attributes, version: ServedResource): Promise<Evaluation> {
  const { request, server, namespace } = attributes
  const { user, resource, subresource, name } = request
  const [object, oldObject, found] = await Promise.all([
    attributes.objectIn(version),
    attributes.oldObjectIn(version),
    namespaceOf(attributes),
  ])
  const { group, kind } = resource
  return {
    budget: configurationBudget,
    variables: {
      object: valueOf(object),
      oldObject: valueOf(oldObject),
      request: fromJson(requestOf(attributes, version) as unknown as Json, requestSchema),
      namespaceObject: found === undefined ? null : fromJson(found as unknown as Json, namespaces.schema),
      authorizer: authorizerValue(
        askOnce(({ fields, labels, ...question }) =>
          server.authorizer.authorize({ ...question, ...selectorsOf(question.verb, fields, labels) }),
        ),
        { user, group, version: resource.version, resource: kind.plural, subresource, namespace, name },
      ),
    },
  }
}
const valueOf = (object: JsonObject | undefined): Value => (object === undefined ? null : fromJson(object, undefined))

/** Runs a program until every authorizer that it asks has answered. */
export async function evaluate(
  program: CelProgram,
  evaluation: Evaluation,
  more: Readonly<Record<string, Value>> = {},
): Promise<CelAnswer> {
  for (;;) {
    try {
      const answer = program.run({ ...evaluation.variables, ...more }, Math.min(evaluation.budget, perCallBudget))
      evaluation.budget -= answer.cost
      if (evaluation.budget > 0) return answer
      return {
        ok: false,
        error: 'validation failed due to running out of cost budget, no further validation rules will be run',
        costExceeded: true,
        cost: answer.cost,
      }
    } catch (error) {
      if (!(error instanceof AwaitingDecision)) throw error
      await error.answer
    }
  }
}

/** Conditions of a webhook or a policy, compiled. */
export interface Condition {
  readonly name: string
  readonly program: CelProgram | string
}
export type Conditioned =
  | { readonly met: true }
  | { readonly met: false; readonly condition: string }
  | { readonly error: string }

/** All conditions hold, or one does not (whatever others fail with), or it cannot be told. */
export async function meets(
  conditions: readonly Condition[],
  evaluation: Evaluation,
  more?: Readonly<Record<string, Value>>,
): Promise<Conditioned> {
  const errors: string[] = []
  for (const { name, program } of conditions) {
    if (typeof program === 'string') {
      errors.push(program)
      continue
    }
    const answer = await evaluate(program, evaluation, more)
    if (answer.ok && answer.value === false) return { met: false, condition: name }
    if (!answer.ok) errors.push(`expression '${name}' resulted in error: ${answer.error}`)
  }
  return errors.length === 0
    ? { met: true }
    : { error: errors.length === 1 ? (errors[0] ?? '') : `[${errors.join(', ')}]` }
}
