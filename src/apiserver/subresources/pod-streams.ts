// exec, attach and port-forward: a session with the pod's node, which the host carries over WebSocket or SPDY.
import { badRequest } from '../../api/machinery/errors.ts'
import type { KubeObject } from '../../api/machinery/meta.ts'
import type { Draft, Json, JsonObject } from '../../api/machinery/schema.ts'
import type { StreamOptions } from '../../ports/container-runtime.ts'
import { type AdmissionRequest, mutateAdmission, validateAdmission } from '../admission/admission.ts'
import type { ResourceRequest } from '../context.ts'
import type { UpgradedStream } from '../request.ts'
import { isTrue } from '../request-info.ts'
import type { Outcome } from '../responders/outcome.ts'
import { addressOf, containerOf, mustBePlaced, nodeOf, podOf } from './pod-target.ts'

export async function podExec(call: ResourceRequest): Promise<Outcome> {
  const command = call.info.query.getAll('command')
  const options = streamOptionsOf(call)
  const { pod, node, container } = await sessionTarget(call)
  if (command.length === 0) throw badRequest('you must specify at least one command for the container')
  const session = await node.exec(addressOf(pod, container), command, options)
  return upgraded({ type: 'session', options, session })
}

export async function podAttach(call: ResourceRequest): Promise<Outcome> {
  const options = streamOptionsOf(call)
  const { pod, node, container } = await sessionTarget(call)
  const session = await node.attach(addressOf(pod, container), options)
  return upgraded({ type: 'session', options, session })
}

export async function podPortForward(call: ResourceRequest): Promise<Outcome> {
  const pod = await podOf(call)
  mustBePlaced(pod)
  mustUpgrade(call)
  const ports = call.info.query
    .getAll('ports')
    .flatMap((text) => text.split(','))
    .map((text) => Number(text))
  if (ports.some((port) => !Number.isInteger(port) || port < 1 || port > 65535)) {
    throw badRequest(`unable to parse ports: ${JSON.stringify(call.info.query.getAll('ports'))}`)
  }
  await admitConnect(call)
  const node = await nodeOf(call, pod)
  const { namespace = '', name } = pod.metadata
  return upgraded({ type: 'ports', ports, connect: (port) => node.portForward(namespace, name, port) })
}

async function sessionTarget(call: ResourceRequest) {
  const pod = await podOf(call)
  mustBePlaced(pod)
  mustUpgrade(call)
  const container = containerOf(pod, call.info.query.get('container') ?? '')
  await admitConnect(call)
  return { pod, container, node: await nodeOf(call, pod) }
}

/** Admission sees connections too (operation CONNECT). */
export async function admitConnect(call: ResourceRequest): Promise<void> {
  const request: AdmissionRequest = {
    operation: 'CONNECT',
    resource: call.resource,
    namespace: call.info.namespace,
    name: call.info.name,
    subresource: call.info.subresource,
    user: call.user,
    dryRun: false,
    object: connectOptions(call) as unknown as Draft<KubeObject>,
    oldObject: undefined,
    shape: { apiVersion: 'v1', kind: connectKind(call) },
    options: undefined,
    warnings: call.warnings,
    audit: call.request.audit,
  }
  await mutateAdmission(request, call.server)
  await validateAdmission(request, call.server)
}

const connectKinds: Readonly<Record<string, string>> = {
  exec: 'PodExecOptions',
  attach: 'PodAttachOptions',
  portforward: 'PodPortForwardOptions',
}
const connectKind = ({ info, resource }: ResourceRequest): string =>
  connectKinds[info.subresource] ?? `${resource.kind.kind}ProxyOptions`

/** What the client asks of a connection, as the object that admission sees. */
function connectOptions({ info }: ResourceRequest): JsonObject {
  const { query, subresource } = info
  if (subresource === 'proxy') return { path: info.rest }
  if (subresource === 'portforward') {
    const ports = query.getAll('ports').flatMap((text) => text.split(',').map(Number))
    return ports.length === 0 ? {} : { ports }
  }
  const options: Record<string, Json> = {}
  for (const name of ['stdin', 'stdout', 'stderr', 'tty']) if (isTrue(query.get(name))) options[name] = true
  const container = query.get('container') ?? ''
  if (container !== '') options['container'] = container
  if (subresource === 'exec') options['command'] = query.getAll('command')
  return options
}

function streamOptionsOf(call: ResourceRequest): StreamOptions {
  const { query } = call.info
  const options = {
    stdin: isTrue(query.get('stdin')),
    stdout: isTrue(query.get('stdout')),
    stderr: isTrue(query.get('stderr')),
    tty: isTrue(query.get('tty')),
  }
  if (!options.stdin && !options.stdout && !options.stderr) {
    throw badRequest('you must specify at least 1 of stdin, stdout, stderr')
  }
  // A terminal has one output.
  return options.tty ? { ...options, stderr: false } : options
}

function mustUpgrade(call: ResourceRequest): void {
  if (call.request.upgrade === undefined) throw badRequest('Upgrade request required')
}
const upgraded = (stream: UpgradedStream): Outcome => ({
  kind: 'response',
  response: { kind: 'upgrade', headers: {}, upgraded: stream },
})
