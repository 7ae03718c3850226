// How an exec or attach ended, as the last message of its error stream says it: a metav1.Status from protocol v4 on, a
// line of text (or nothing at all) before.
import type { StreamSession } from '../../ports/container-runtime.ts'

export type SessionResult = Awaited<StreamSession['result']>

/** The text of the error stream under the given protocol version; empty where nothing is to be said. */
export function statusText(result: SessionResult, version: number): string {
  if (version < 4) {
    if (result.exitCode === 0) return ''
    return result.message === '' ? `command terminated with exit code ${result.exitCode ?? -1}` : result.message
  }
  return JSON.stringify(statusOf(result))
}
function statusOf({ exitCode, message }: SessionResult): unknown {
  if (exitCode === 0) return { metadata: {}, status: 'Success' }
  if (exitCode === undefined)
    return {
      metadata: {},
      status: 'Failure',
      message: `Internal error occurred: ${message}`,
      reason: 'InternalError',
      details: { causes: [{ message }] },
      code: 500,
    }
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: ${message === '' ? `exit code ${exitCode}` : message}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  }
}

/** What an error stream of protocol v4 or later said. */
export function resultOf(text: string): SessionResult {
  let status: StatusLike
  try {
    status = JSON.parse(text) as StatusLike
  } catch (error) {
    if (error instanceof SyntaxError) return { exitCode: undefined, message: text }
    throw error
  }
  if (status.status === 'Success') return { exitCode: 0, message: '' }
  const message = status.message ?? text
  const exit = status.details?.causes?.find((cause) => cause.reason === 'ExitCode')?.message
  if (status.reason === 'NonZeroExitCode' && exit !== undefined && /^-?\d+$/.test(exit))
    return { exitCode: Number(exit), message }
  // What we say ourselves around another's words is not said twice.
  return { exitCode: undefined, message: message.replace(/^(Internal error occurred: )+/, '') }
}
interface StatusLike {
  readonly status?: string
  readonly message?: string
  readonly reason?: string
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] }
}

/** Reads the resize stream: one JSON object {"Width":w,"Height":h} after the other. */
export async function readSizes(
  chunks: AsyncIterable<Uint8Array>,
  onSize: (width: number, height: number) => Promise<void>,
): Promise<void> {
  let text = ''
  const utf8 = new TextDecoder()
  for await (const chunk of chunks) {
    text += utf8.decode(chunk, { stream: true })
    for (let end = text.indexOf('}'); end >= 0; end = text.indexOf('}')) {
      const size = sizeOf(text.slice(0, end + 1))
      text = text.slice(end + 1)
      if (size !== undefined) await onSize(size.width, size.height)
    }
    if (text.length > 1024) throw new Error('the resize stream carries no sizes')
  }
}
/** Undefined for what is no size. */
export function sizeOf(text: string): { readonly width: number; readonly height: number } | undefined {
  const size = /^\s*\{\s*"(Width|Height)"\s*:\s*(\d{1,5})\s*,\s*"(Width|Height)"\s*:\s*(\d{1,5})\s*\}/.exec(text)
  if (size === null || size[1] === size[3]) return undefined
  const [first, second] = [Number(size[2]), Number(size[4])]
  return size[1] === 'Width' ? { width: first, height: second } : { width: second, height: first }
}
