// One call of an admission webhook: whether it wants the request, what it says, and what becomes of a call that fails.
import type { MutatingWebhook, ValidatingWebhook } from '../../../api/admissionregistration/webhooks.ts'
import { ApiError, type ErrorDetails, forbidden, type Reason } from '../../../api/machinery/errors.ts'
import { CallError, callWebhook } from '../../extensions/call-service.ts'
import type { ServedResource } from '../../resources.ts'
import { type AdmissionAnswer, answerOf, reviewOf } from './admission-review.ts'
import type { Attributes } from './attributes.ts'
import { evaluationOf, meets } from './evaluation.ts'
import { matchRequest } from './matching.ts'
import type { Webhook } from './webhook-source.ts'

type AnyWebhook = Webhook<MutatingWebhook | ValidatingWebhook>

/** The version in which the webhook wants to see the request; undefined where it does not. */
export async function wantedBy(attributes: Attributes, hook: AnyWebhook): Promise<ServedResource | undefined> {
  const version = await matchRequest(attributes, hook.criteria)
  if (version === undefined || hook.conditions.length === 0) return version
  const met = await meets(hook.conditions, await evaluationOf(attributes, version))
  if ('met' in met) return met.met ? version : undefined
  const { request, server } = attributes
  if (hook.webhook.failurePolicy === 'Ignore') {
    server.log.warn('match conditions failed, failing open', { webhook: hook.webhook.name, error: met.error })
    return undefined
  }
  throw forbidden({ group: request.resource.group, resource: request.resource.kind.plural }, request.name, met.error)
}

/** What the webhook answered; undefined where it could not be asked and that is to be ignored. Throws ApiError. */
export async function callHook(
  attributes: Attributes,
  { webhook, configuration }: AnyWebhook,
  version: ServedResource,
  mutating: boolean,
): Promise<AdmissionAnswer | undefined> {
  const { server, request } = attributes
  if (request.dryRun && webhook.sideEffects !== 'None' && webhook.sideEffects !== 'NoneOnDryRun') {
    throw new ApiError('BadRequest', `admission webhook ${JSON.stringify(webhook.name)} does not support dry run`)
  }
  const as = webhook.admissionReviewVersions.find((v) => v === 'v1' || v === 'v1beta1') === 'v1beta1' ? 'v1beta1' : 'v1'
  const uid = server.random.uuid()
  const review = await reviewOf(attributes, version, as, uid)
  let why: string
  try {
    const raw = await callWebhook(server, webhook.clientConfig, review, (webhook.timeoutSeconds ?? 10) * 1000)
    const answer = answerOf(raw, as, uid, mutating)
    if (!('problem' in answer)) return accepted(attributes, webhook.name, answer)
    why = `received invalid webhook response: ${answer.problem}`
  } catch (error) {
    if (!(error instanceof CallError)) throw error
    why = `failed to call webhook: ${error.message}`
  }
  if (webhook.failurePolicy === 'Ignore') {
    server.log.warn('failed calling webhook, failing open', { webhook: webhook.name, configuration, error: why })
    return undefined
  }
  const message = `failed calling webhook ${JSON.stringify(webhook.name)}: ${why}`
  throw internalError(message)
}

/** 500 in upstream's form. */
export const internalError = (message: string): ApiError =>
  new ApiError('InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] })

function accepted({ request }: Attributes, name: string, answer: AdmissionAnswer): AdmissionAnswer {
  for (const warning of answer.warnings) if (!request.warnings.includes(warning)) request.warnings.push(warning)
  for (const [key, value] of Object.entries(answer.auditAnnotations)) request.audit?.annotate(`${name}/${key}`, value)
  if (answer.allowed) return answer
  throw denial(name, answer.result)
}

/** What a client is told whose request a webhook refused: the webhook's own status, never a success. */
export function denial(name: string, result: AdmissionAnswer['result']): ApiError {
  const { code = 0, reason = '', message = '', details } = result ?? {}
  const denied = `admission webhook ${JSON.stringify(name)} denied the request`
  const why = message !== '' ? message : reason
  return new ApiError(
    // a webhook may give a reason of its own
    (reason === '' ? 'Unknown' : reason) as Reason,
    why === '' ? `${denied} without explanation` : `${denied}: ${why}`,
    details as ErrorDetails | undefined,
    Math.max(code, 400),
  )
}
