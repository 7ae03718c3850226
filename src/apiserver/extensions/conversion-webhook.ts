// Conversion of custom resources by a webhook (apiextensions.k8s.io ConversionReview): objects are sent in one request
// for each set that is converted together, and what comes back may differ in nothing that is not the webhook's business.
import type { CustomResourceDefinition } from '../../api/apiextensions/custom-resource-definition.ts'
import { equal } from '../../api/machinery/equal.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { ServerContext } from '../context.ts'
import { CallError, callWebhook, type ClientConfig } from './call-service.ts'

const timeoutMs = 30_000

/** Converts objects to an apiVersion. */
export type Conversion = (objects: readonly KubeObject[], apiVersion: string) => Promise<readonly KubeObject[]>

interface Answer {
  readonly apiVersion?: unknown
  readonly kind?: unknown
  readonly response?: {
    readonly uid?: unknown
    readonly convertedObjects?: readonly KubeObject[]
    readonly result?: { readonly status?: string; readonly message?: string; readonly code?: number }
  }
}

export function webhookConversion(server: ServerContext, crd: CustomResourceDefinition): Conversion {
  const { webhook } = crd.spec.conversion ?? {}
  const config: ClientConfig = webhook?.clientConfig ?? {}
  const version = webhook?.conversionReviewVersions.find((v) => v === 'v1' || v === 'v1beta1') ?? 'v1'
  const fail = (object: KubeObject | undefined, why: string) =>
    new ApiError(
      'InternalError',
      `conversion webhook for ${object?.apiVersion ?? ''}, Kind=${object?.kind ?? ''} failed: ${why}`,
    )
  return async (objects, apiVersion) => {
    const [first] = objects
    const pending = objects.filter((object) => object.apiVersion !== apiVersion)
    if (pending.length === 0) return objects
    const uid = server.random.uuid()
    const review = {
      kind: 'ConversionReview',
      apiVersion: `apiextensions.k8s.io/${version}`,
      request: { uid, desiredAPIVersion: apiVersion, objects: pending },
    }
    let answer: Answer
    try {
      answer = (await callWebhook(server, config, review, timeoutMs)) as Answer
    } catch (error) {
      if (error instanceof CallError) throw fail(first, error.message)
      throw error
    }
    const converted = checkAnswer(answer, uid, `apiextensions.k8s.io/${version}`, (why) => fail(first, why))
    if (converted.length !== pending.length) {
      throw fail(first, `webhook returned ${converted.length} objects, expected ${pending.length}`)
    }
    let next = 0
    return objects.map((object, i) => {
      if (object.apiVersion === apiVersion) return object
      const made = converted[next++] as KubeObject
      return restore(object, made, apiVersion, i, (why) => fail(object, why))
    })
  }
}

function checkAnswer(
  answer: Answer,
  uid: string,
  apiVersion: string,
  fail: (why: string) => ApiError,
): readonly KubeObject[] {
  if (answer === null || typeof answer !== 'object' || answer.response === undefined) {
    throw fail('invalid response: no response provided')
  }
  const { response } = answer
  if (answer.kind !== 'ConversionReview' || answer.apiVersion !== apiVersion) {
    throw fail(
      `expected webhook response of ${apiVersion}, Kind=ConversionReview, got ${String(answer.apiVersion)}, Kind=${String(answer.kind)}`,
    )
  }
  if (response.uid !== uid)
    throw fail(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid ?? '')}`)
  const { result } = response
  if (result?.status !== 'Success') {
    if (result?.status !== 'Failure') {
      throw fail(`response.result.status was '${result?.status ?? ''}', must be 'Success' or 'Failure'`)
    }
    throw fail(result.message === undefined || result.message === '' ? 'no reason given' : result.message)
  }
  return response.convertedObjects ?? []
}

/** Metadata but labels and annotations is not the webhook's to change. */
function restore(
  original: KubeObject,
  converted: KubeObject,
  apiVersion: string,
  at: number,
  fail: (why: string) => ApiError,
): KubeObject {
  const wrong = (what: string, expected: string, got: string) =>
    fail(`webhook returned invalid converted object at index ${at}: invalid ${what}: expected ${expected}, got ${got}`)
  if (converted === null || typeof converted !== 'object')
    throw fail(`webhook returned invalid converted object at index ${at}: not an object`)
  if (converted.apiVersion !== apiVersion) throw wrong('apiVersion', apiVersion, String(converted.apiVersion))
  if (converted.kind !== original.kind) throw wrong('kind', original.kind, String(converted.kind))
  const theirs = (converted.metadata ?? {}) as Partial<KubeObject['metadata']>
  for (const key of ['name', 'namespace', 'uid'] as const) {
    if (!equal(theirs[key], original.metadata[key])) {
      throw wrong(`metadata.${key}`, String(original.metadata[key] ?? ''), String(theirs[key] ?? ''))
    }
  }
  const { labels: _labels, annotations: _annotations, ...own } = original.metadata
  const { labels, annotations } = theirs
  return {
    ...converted,
    metadata: {
      ...own,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
  }
}
