// GET pods/NAME/log: what a container has written, from its node.
import {
  badRequest,
  invalid,
  invalidField,
  type FieldError,
  forbiddenField,
  notSupportedField,
} from '../../api/machinery/errors.ts'
import type { LogQuery } from '../../ports/node-api.ts'
import type { ResourceRequest } from '../context.ts'
import { isTrue } from '../request-info.ts'
import type { Outcome } from '../responders/outcome.ts'
import { textResponse } from '../responders/respond.ts'
import { pumpInto } from './pump.ts'
import { addressOf, containerOf, nodeOf, podOf } from './pod-target.ts'

export async function podLog(call: ResourceRequest): Promise<Outcome> {
  const query = logQueryOf(call)
  const pod = await podOf(call)
  const container = containerOf(pod, call.info.query.get('container') ?? '')
  // A pod that is on no node has written nothing yet.
  if ((pod.spec.nodeName ?? '') === '') {
    return { kind: 'response', response: textResponse(204, '', 'text/plain') }
  }
  const node = await nodeOf(call, pod)
  const stop = new AbortController()
  const { signal } = call.request
  signal?.addEventListener('abort', () => stop.abort(), { once: true })
  const chunks = await node.containerLogs(addressOf(pod, container), query, stop.signal)
  return {
    kind: 'response',
    response: {
      kind: 'stream',
      status: 200,
      headers: { 'content-type': 'text/plain', 'cache-control': 'no-cache, private' },
      open: (sink) => pumpInto(sink, chunks, () => stop.abort(), call.server.log),
    },
  }
}

function logQueryOf(call: ResourceRequest): LogQuery {
  const { query } = call.info
  const number = (name: string): number | undefined => {
    const text = query.get(name)
    if (text === null || text === '') return undefined
    const value = Number(text)
    if (!Number.isSafeInteger(value))
      throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
    return value
  }
  const tailLines = number('tailLines')
  const limitBytes = number('limitBytes')
  const sinceSeconds = number('sinceSeconds')
  const sinceTime = query.get('sinceTime') ?? ''
  const stream = query.get('stream') ?? ''
  const errors: FieldError[] = []
  if (tailLines !== undefined && tailLines < 0) {
    errors.push(invalidField('tailLines', tailLines, 'must be greater than or equal to 0'))
  }
  if (limitBytes !== undefined && limitBytes < 1)
    errors.push(invalidField('limitBytes', limitBytes, 'must be greater than 0'))
  if (sinceSeconds !== undefined && sinceTime !== '') {
    errors.push(forbiddenField('[]', 'at most one of `sinceTime` or `sinceSeconds` may be specified'))
  } else if (sinceSeconds !== undefined && sinceSeconds < 1) {
    errors.push(invalidField('sinceSeconds', sinceSeconds, 'must be greater than 0'))
  }
  if (stream !== '' && !['All', 'Stdout', 'Stderr'].includes(stream)) {
    errors.push(notSupportedField('stream', stream, ['All', 'Stdout', 'Stderr']))
  } else if (tailLines !== undefined && stream !== '' && stream !== 'All') {
    errors.push(forbiddenField('[]', '`tailLines` and specific `stream` are mutually exclusive for now'))
  }
  if (errors.length > 0) throw invalid('', 'PodLogOptions', call.info.name, errors)
  return {
    follow: isTrue(query.get('follow')),
    previous: isTrue(query.get('previous')),
    timestamps: isTrue(query.get('timestamps')),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    ...(sinceTime === '' ? {} : { sinceTime }),
    ...(stream === '' ? {} : { stream: stream as 'All' }),
  }
}
