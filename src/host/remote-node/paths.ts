// The kubelet's HTTP paths for logs and streams (those that upstream's kubelet serves), written and read in one place.
import type { StreamOptions } from '../../ports/container-runtime.ts'
import type { LogQuery, PodAddress } from '../../ports/node-api.ts'

const part = encodeURIComponent
const containerPath = (verb: string, { namespace, pod, container }: PodAddress): string =>
  `/${verb}/${part(namespace)}/${part(pod)}/${part(container)}`

export function logPath(target: PodAddress, query: LogQuery): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value))
  return `${containerPath('containerLogs', target)}?${parameters.toString()}`
}
/** The names of the streams are the kubelet's: input, output, error. */
export function sessionPath(
  verb: 'exec' | 'attach',
  target: PodAddress,
  command: readonly string[],
  options: StreamOptions,
): string {
  const parameters = new URLSearchParams(command.map((word): [string, string] => ['command', word]))
  const names = { stdin: 'input', stdout: 'output', stderr: 'error', tty: 'tty' } as const
  for (const key of ['stdin', 'stdout', 'stderr', 'tty'] as const) if (options[key]) parameters.set(names[key], '1')
  return `${containerPath(verb, target)}?${parameters.toString()}`
}
export const portForwardPath = (namespace: string, pod: string): string =>
  `/portForward/${part(namespace)}/${part(pod)}`

export type NodeRequest =
  | { readonly type: 'logs'; readonly target: PodAddress; readonly query: LogQuery }
  | {
      readonly type: 'exec' | 'attach'
      readonly target: PodAddress
      readonly command: readonly string[]
      readonly options: StreamOptions
    }
  | { readonly type: 'ports'; readonly namespace: string; readonly pod: string; readonly ports: readonly number[] }
  | { readonly type: 'other' }

const isTrue = (value: string | null): boolean => value === '1' || value === 'true'

/** What a path with query asks for. */
export function parseNodePath(path: string): NodeRequest {
  const url = new URL(path, 'http://node')
  const [, verb = '', ...rest] = url.pathname.split('/')
  const [namespace = '', pod = '', container = ''] = rest.map(decodeURIComponent)
  const { searchParams: query } = url
  const target = { namespace, pod, container }
  if (verb === 'containerLogs' && rest.length === 3) return { type: 'logs', target, query: logQueryOf(query) }
  if ((verb === 'exec' || verb === 'attach') && rest.length === 3) {
    const tty = isTrue(query.get('tty'))
    const options = {
      stdin: isTrue(query.get('input')),
      stdout: isTrue(query.get('output')),
      // A terminal has one output.
      stderr: !tty && isTrue(query.get('error')),
      tty,
    }
    return { type: verb, target, command: query.getAll('command'), options }
  }
  if (verb === 'portForward' && rest.length === 2)
    return { type: 'ports', namespace, pod, ports: query.getAll('port').map(Number) }
  return { type: 'other' }
}

function logQueryOf(query: URLSearchParams): LogQuery {
  const number = (name: string) => {
    const text = query.get(name)
    return text === null || !/^\d+$/.test(text) ? {} : { [name]: Number(text) }
  }
  const stream = query.get('stream')
  const sinceTime = query.get('sinceTime')
  return {
    follow: isTrue(query.get('follow')),
    previous: isTrue(query.get('previous')),
    timestamps: isTrue(query.get('timestamps')),
    ...number('tailLines'),
    ...number('limitBytes'),
    ...number('sinceSeconds'),
    ...(sinceTime === null ? {} : { sinceTime }),
    ...(stream === 'Stdout' || stream === 'Stderr' || stream === 'All' ? { stream } : {}),
  }
}
