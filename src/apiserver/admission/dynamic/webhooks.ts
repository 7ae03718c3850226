// MutatingAdmissionWebhook and ValidatingAdmissionWebhook: servers elsewhere that change what is written, one after the
// other, and that may refuse it, all at once.
import { DecodeError } from '../../../api/machinery/decode.ts'
import { ApiError } from '../../../api/machinery/errors.ts'
import { applyPatch, PatchError, parsePatch } from '../../../api/machinery/json-patch.ts'
import type { MutatingWebhook, ValidatingWebhook } from '../../../api/admissionregistration/webhooks.ts'
import type { Json, JsonObject } from '../../../api/machinery/schema.ts'
import type { ServerContext } from '../../context.ts'
import type { ServedResource } from '../../resources.ts'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import type { Mutations } from '../mutations.ts'
import { Attributes } from './attributes.ts'
import { callHook, internalError, wantedBy } from './call-hook.ts'
import { isExempt } from './matching.ts'
import { mutatingWebhooks, validatingWebhooks, type Webhook } from './webhook-source.ts'

export const mutatingAdmissionWebhook: AdmissionPlugin = {
  name: 'MutatingAdmissionWebhook',
  handles: (request) => !isExempt(request),
  mutate(request, server, mutations) {
    const hooks = mutatingWebhooks.of(server)
    if (hooks === undefined) return undefined
    return mutateAll(request, server, mutations, hooks)
  },
}

async function mutateAll(
  request: AdmissionRequest,
  server: ServerContext,
  mutations: Mutations,
  found: readonly Webhook<MutatingWebhook>[] | Promise<readonly Webhook<MutatingWebhook>[] | undefined>,
): Promise<void> {
  const hooks = (await found) ?? []
  const attributes = new Attributes(request, server)
  const invocations = mutations.of('webhooks')
  invocations.begin(request.object)
  for (const hook of hooks) {
    if (!invocations.isDue(hook.id)) continue
    const version = await wantedBy(attributes, hook)
    if (version === undefined) continue
    const answer = await callHook(attributes, hook, version, true)
    const changed = answer?.patch !== undefined && (await patched(attributes, version, hook.webhook.name, answer.patch))
    invocations.done(hook.id, changed, hook.webhook.reinvocationPolicy === 'IfNeeded')
  }
  invocations.end(request.object)
}

/** Applies a webhook's JSON patch. */
async function patched(attributes: Attributes, version: ServedResource, name: string, patch: string): Promise<boolean> {
  const object = await attributes.objectIn(version)
  if (object === undefined) {
    throw internalError(
      `admission webhook ${JSON.stringify(name)} attempted to modify the object, which is not supported for this operation`,
    )
  }
  try {
    const next = applyPatch(object, parsePatch(JSON.parse(patch) as Json))
    return await attributes.replace(version, next as JsonObject)
  } catch (error) {
    if (error instanceof PatchError || error instanceof DecodeError || error instanceof SyntaxError)
      throw internalError(error.message)
    throw error
  }
}

export const validatingAdmissionWebhook: AdmissionPlugin = {
  name: 'ValidatingAdmissionWebhook',
  handles: (request) => !isExempt(request),
  validate(request, server) {
    const hooks = validatingWebhooks.of(server)
    return hooks === undefined ? undefined : validateAll(request, server, hooks)
  },
}

async function validateAll(
  request: AdmissionRequest,
  server: ServerContext,
  found: readonly Webhook<ValidatingWebhook>[] | Promise<readonly Webhook<ValidatingWebhook>[] | undefined>,
): Promise<void> {
  const hooks = (await found) ?? []
  const attributes = new Attributes(request, server)
  const outcomes = await Promise.allSettled(
    hooks.map(async (hook) => {
      const version = await wantedBy(attributes, hook)
      if (version !== undefined) await callHook(attributes, hook, version, false)
    }),
  )
  const errors = outcomes.flatMap((o) => (o.status === 'rejected' ? [o.reason as unknown] : []))
  const [first] = errors
  if (first === undefined) return
  throw errors.find((error) => !(error instanceof ApiError)) ?? first
}
