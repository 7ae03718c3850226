// Turns what a Transport answered into frozen objects or an ApiError: bytes are parsed and frozen here, objects of the
// direct carrier are already frozen and pass untouched.
import { ApiError, type ErrorDetails, type Reason, statusCodes } from '../api/machinery/errors.ts'
import { freeze } from '../api/machinery/freeze.ts'
import type { Status } from '../api/machinery/meta.ts'
import type { ResponseStream, TransportResponse } from '../ports/transport.ts'
import type { WatchEvent } from './client.ts'

/** The first reason that has this HTTP code; for answers that are no Status (a proxy's 502, say). */
function reasonOfCode(code: number): Reason {
  for (const [reason, status] of Object.entries(statusCodes)) if (status === code) return reason as Reason
  return code >= 500 ? 'InternalError' : 'BadRequest'
}
const isStatus = (body: unknown): body is Status =>
  typeof body === 'object' && body !== null && (body as { kind?: unknown }).kind === 'Status'

/** The ApiError that a metav1.Status (or, for want of one, the bare code and text) stands for. */
export function errorFromStatus(body: unknown, httpCode: number): ApiError {
  if (isStatus(body)) {
    const code = body.code ?? httpCode
    const reason =
      body.reason !== undefined && body.reason in statusCodes ? (body.reason as Reason) : reasonOfCode(code)
    return new ApiError(reason, body.message ?? '', body.details as ErrorDetails | undefined, code)
  }
  const text = typeof body === 'string' ? body.trim() : ''
  return new ApiError(
    reasonOfCode(httpCode),
    text === '' ? `the server answered ${httpCode}` : text,
    undefined,
    httpCode,
  )
}

const decoder = new TextDecoder()
async function collect(stream: ResponseStream): Promise<string> {
  if (stream.kind === 'objects') throw new ApiError('InternalError', 'a watch came where one object was expected')
  const text = new TextDecoder()
  let out = ''
  for await (const chunk of stream.chunks) out += text.decode(chunk, { stream: true })
  return out + text.decode()
}

/** The answer's text, whatever the form it came in. */
export async function textOf(response: TransportResponse): Promise<string> {
  if (response.object !== undefined) return JSON.stringify(response.object)
  if (response.body !== undefined) return decoder.decode(response.body)
  return response.stream === undefined ? '' : collect(response.stream)
}

function parse(text: string, response: TransportResponse): unknown {
  if (text === '') return undefined
  if (!/json/.test(response.headers['content-type'] ?? 'application/json')) return text
  try {
    return JSON.parse(text)
  } catch (cause) {
    if (response.status >= 400) return text
    throw new ApiError('InternalError', `the server's answer is not JSON: ${String(cause)}`)
  }
}

/** The decoded, frozen body; throws the ApiError of a status of 400 or more. */
export async function bodyOf(response: TransportResponse): Promise<unknown> {
  const body = response.object !== undefined ? response.object : parse(await textOf(response), response)
  if (response.status >= 400) throw errorFromStatus(body, response.status)
  return freeze(body)
}

/** Lines of a byte stream; a half line at the end is dropped (the stream broke in the middle of an event). */
async function* lines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const text = new TextDecoder()
  let rest = ''
  for await (const chunk of chunks) {
    rest += text.decode(chunk, { stream: true })
    let from = 0
    for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n', from)) {
      if (end > from) yield rest.slice(from, end)
      from = end + 1
    }
    if (from > 0) rest = rest.slice(from)
  }
}

async function* rawEvents(stream: ResponseStream): AsyncGenerator<{ type: string; object: unknown }> {
  if (stream.kind === 'objects') {
    for await (const event of stream.objects) yield event as { type: string; object: unknown }
    return
  }
  for await (const line of lines(stream.chunks)) yield freeze(JSON.parse(line)) as { type: string; object: unknown }
}

/** Events of a watch answer; an ERROR event is thrown as ApiError. */
export async function* watchEvents<T>(response: TransportResponse): AsyncGenerator<WatchEvent<T>> {
  if (response.stream === undefined || response.status >= 400) {
    await bodyOf(response)
    throw new ApiError('InternalError', 'the answer to a watch is not a stream')
  }
  for await (const event of rawEvents(response.stream)) {
    if (event.type === 'ERROR') throw errorFromStatus(event.object, 500)
    yield event as WatchEvent<T>
  }
}
