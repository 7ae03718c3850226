// ValidatingAdmissionPolicy (KEP-3488): rules in CEL, bound to parameters; each binding says whether a failure refuses the
// request, warns, or is only recorded.
import type {
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from '../../../api/admissionregistration/policies.ts'
import { ApiError, forbidden, type Reason, statusCodes } from '../../../api/machinery/errors.ts'
import type { ServerContext } from '../../context.ts'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import { Attributes } from './attributes.ts'
import { type Evaluation, evaluate } from './evaluation.ts'
import { isExemptFromPolicies } from './matching.ts'
import { type Run, runsOf } from './policy-run.ts'
import { type BoundPolicy, type CompiledPolicy, validatingPolicies } from './policy-source.ts'

type Binding = ValidatingAdmissionPolicyBinding
type Policy = BoundPolicy<ValidatingAdmissionPolicy, Binding>
interface Failure {
  readonly message: string
  readonly reason: Reason
  readonly expressionIndex: number
}
const maxMessageBytes = 5 * 1024

export const validatingAdmissionPolicy: AdmissionPlugin = {
  name: 'ValidatingAdmissionPolicy',
  handles: (request) => !isExemptFromPolicies(request),
  validate(request, server) {
    const policies = validatingPolicies.of(server)
    return policies === undefined ? undefined : validateAll(request, server, policies)
  },
}

async function validateAll(
  request: AdmissionRequest,
  server: ServerContext,
  found: readonly Policy[] | Promise<readonly Policy[] | undefined>,
): Promise<void> {
  const attributes = new Attributes(request, server)
  const denied: ApiError[] = []
  for (const policy of (await found) ?? []) {
    for await (const run of runsOf(attributes, policy)) {
      const { failures, direct } = await failuresOf(request, policy, run)
      for (const failure of failures) {
        const error = report(request, policy, run.binding, failure, direct)
        if (error !== undefined) denied.push(error)
      }
    }
  }
  const [first] = denied
  if (first !== undefined) throw first
}

/** What one run of a policy finds wrong. `direct`: refused whatever the binding's actions are. */
async function failuresOf(
  request: AdmissionRequest,
  policy: Policy,
  run: Run<Binding>,
): Promise<{ failures: Failure[]; direct: boolean }> {
  const ignored = policy.policy.spec.failurePolicy === 'Ignore'
  const { evaluation, problem, misconfigured } = run
  if (evaluation === undefined) {
    const failure: Failure = { message: problem ?? '', reason: 'Invalid', expressionIndex: 0 }
    return { failures: ignored ? [] : [failure], direct: misconfigured }
  }
  const failures: Failure[] = []
  for (const [i, validation] of policy.validations.entries()) {
    const failure = await failureOf(policy, i, validation, evaluation, ignored)
    if (failure !== undefined) failures.push(failure)
  }
  for (const [i, annotation] of (policy.policy.spec.auditAnnotations ?? []).entries()) {
    const program = policy.auditAnnotations[i] ?? ''
    const answer =
      typeof program === 'string' ? { ok: false as const, error: program } : await evaluate(program, evaluation)
    if (answer.ok && typeof answer.value === 'string')
      request.audit?.annotate(`${policy.policy.metadata.name}/${annotation.key}`, answer.value)
    if (!answer.ok && !ignored) {
      failures.push({
        message: `expression '${annotation.valueExpression}' resulted in error: ${answer.error}`,
        reason: 'Invalid',
        expressionIndex: i,
      })
    }
  }
  return { failures, direct: false }
}

async function failureOf(
  policy: Policy,
  index: number,
  { expression, message }: CompiledPolicy['validations'][number],
  evaluation: Evaluation,
  ignored: boolean,
): Promise<Failure | undefined> {
  const said = policy.policy.spec.validations?.[index]
  const answer =
    typeof expression === 'string' ? { ok: false as const, error: expression } : await evaluate(expression, evaluation)
  if (!answer.ok) {
    if (ignored) return undefined
    return {
      message: `expression '${said?.expression ?? ''}' resulted in error: ${answer.error}`,
      reason: 'Invalid',
      expressionIndex: index,
    }
  }
  if (answer.value === true) return undefined
  const made = message === undefined || typeof message === 'string' ? undefined : await evaluate(message, evaluation)
  return {
    message:
      textOf(made?.ok === true ? made.value : undefined) ??
      said?.message?.trim() ??
      `failed expression: ${said?.expression.trim() ?? ''}`,
    reason: (said?.reason as Reason | undefined) ?? 'Invalid',
    expressionIndex: index,
  }
}

/** A message that may be shown: one line, not too long. */
function textOf(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const text = value.trim()
  return text === '' || text.includes('\n') || text.length > maxMessageBytes ? undefined : text
}

/** Does what the binding says should be done about a failure; answers the error where that refuses the request. */
function report(
  request: AdmissionRequest,
  { policy }: Policy,
  { metadata, spec }: Binding,
  { message, reason, expressionIndex }: Failure,
  direct: boolean,
): ApiError | undefined {
  if (!direct && spec.validationActions.includes('Audit')) {
    const { validationActions } = spec
    const failure = {
      message,
      policy: policy.metadata.name,
      binding: metadata.name,
      expressionIndex,
      validationActions,
    }
    request.audit?.annotate('validation.policy.admission.k8s.io/validation_failure', JSON.stringify([failure]))
  }
  const who = `ValidatingAdmissionPolicy '${policy.metadata.name}' with binding '${metadata.name}'`
  if (!direct && spec.validationActions.includes('Warn')) {
    const warning = `Validation failed for ${who}: ${message}`
    if (!request.warnings.includes(warning)) request.warnings.push(warning)
  }
  if (!direct && !spec.validationActions.includes('Deny')) return undefined
  return policyDenial(request, `${who} denied request: ${message}`, reason)
}

/** 403's sentence under the policy's own reason. */
export function policyDenial({ resource, name }: AdmissionRequest, why: string, reason: Reason): ApiError {
  const { message, details } = forbidden({ group: resource.group, resource: resource.kind.plural }, name, why)
  return new ApiError(reason, message, { ...details, causes: [{ message: why }] }, statusCodes[reason])
}
