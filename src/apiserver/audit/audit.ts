// What the audit log learns of one request, stage by stage. A server without a policy makes no trail and pays nothing; with
// one, bodies are kept only where the rule's level asks for them.
// (https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/)
import type { AuditPolicy } from '../../api/audit/policy.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import type { ObjectSchema } from '../../api/machinery/schema.ts'
import { ParseError, parseJson, parseYaml } from '../../api/machinery/parse.ts'
import { decodeMessage, openEnvelope, ProtobufError, protobufMediaType } from '../../api/machinery/protobuf.ts'
import type { AuditEvent, AuditLog, AuditStage, AuditUser } from '../../ports/audit.ts'
import { rfc3339Micro } from '../../ports/clock.ts'
import { mediaTypeOf } from '../codec.ts'
import type { ServerContext } from '../context.ts'
import type { ApiRequest, ApiResponse, AuditNotes, RequestBody, Sink, StreamHandle, UserInfo } from '../request.ts'
import type { RequestInfo } from '../request-info.ts'
import { type AuditDecision, decideAudit } from './match.ts'

export interface Auditing {
  readonly policy: AuditPolicy
  readonly log: AuditLog
}

/** The trail of a request; undefined where the policy says that nothing is written. */
export function beginAudit(
  server: ServerContext,
  request: ApiRequest,
  info: RequestInfo,
  caller: UserInfo,
): AuditTrail | undefined {
  const { audit } = server
  if (audit === undefined) return undefined
  const decision = decideAudit(audit.policy, caller, info)
  return decision === undefined ? undefined : new AuditTrail(server, audit.log, decision, request, info, caller)
}

/** Writes of a request that was refused before anybody knew who sent it. */
export function auditRefused(server: ServerContext, request: ApiRequest, info: RequestInfo, error: ApiError): void {
  const trail = beginAudit(server, request, info, { name: '', groups: [] })
  trail?.refused(error)
}

const userOf = ({ name, uid, groups, extra }: UserInfo): AuditUser => ({
  username: name,
  ...(uid === undefined ? {} : { uid }),
  groups,
  ...(extra === undefined ? {} : { extra }),
})

export class AuditTrail implements AuditNotes {
  private readonly server: ServerContext
  private readonly log: AuditLog
  private readonly decision: AuditDecision
  private readonly request: ApiRequest
  private readonly info: RequestInfo
  private readonly caller: UserInfo
  private readonly receivedMs: number
  private readonly id: string
  private user: UserInfo | undefined
  private annotations: Record<string, string> | undefined
  private body: Promise<Uint8Array> | undefined

  constructor(
    server: ServerContext,
    log: AuditLog,
    decision: AuditDecision,
    request: ApiRequest,
    info: RequestInfo,
    caller: UserInfo,
  ) {
    this.server = server
    this.log = log
    this.decision = decision
    this.request = request
    this.info = info
    this.caller = caller
    this.receivedMs = server.clock.now()
    const given = request.headers['audit-id']
    this.id = given !== undefined && given !== '' && given.length <= 64 ? given : server.random.uuid()
  }

  /** The request as the handlers are to see it: its body is remembered when somebody reads it. */
  watched(): ApiRequest {
    const { body } = this.request
    const kept: RequestBody | undefined =
      body === undefined
        ? undefined
        : {
            bytes: (limitBytes) => (this.body = body.bytes(limitBytes)),
            stream: () => body.stream(),
          }
    return { ...this.request, audit: this, ...(kept === undefined ? {} : { body: kept }) }
  }
  annotate(key: string, value: string): void {
    this.annotations ??= {}
    this.annotations[key] ??= value
  }
  received(): void {
    this.write('RequestReceived', undefined, {})
  }
  actsAs(user: UserInfo): void {
    if (user !== this.caller) this.user = user
  }
  refused(error: ApiError): void {
    this.write('ResponseStarted', { ...statusOf(error.toStatus(), error.code), message: 'Authentication failed' }, {})
  }

  /** Writes how the request ended, now or when its stream does; answers the response to send. */
  async answered(response: ApiResponse): Promise<ApiResponse> {
    const objects = await this.objects(response)
    const headers = { ...response.headers, 'audit-id': this.id }
    if (response.kind === 'bytes' || response.kind === 'object') {
      const shown = shownOf(response)
      const code = response.status
      this.write('ResponseComplete', statusOf(shown(), code), objects)
      return { ...response, headers }
    }
    const status = { metadata: {}, code: response.kind === 'upgrade' ? 101 : response.status }
    this.write('ResponseStarted', status, objects)
    const ended = once(() => this.write('ResponseComplete', status, objects))
    if (response.kind === 'upgrade') return { ...response, headers, ended }
    return response.kind === 'stream'
      ? { ...response, headers, open: tapped(response.open, ended) }
      : { ...response, headers, open: tapped(response.open, ended) }
  }

  /** What stands in the bodies, as far as the level asks for it. */
  private async objects(response: ApiResponse): Promise<Partial<AuditEvent>> {
    const { level } = this.decision
    if (level === 'Metadata' && this.info.verb !== 'create') return {}
    const sent = await this.sentObject()
    const named = sent === undefined ? {} : this.referenceTo(sent)
    if (level === 'Metadata') return named
    const shown = level === 'RequestResponse' ? shownOf(response)() : undefined
    return {
      ...named,
      ...(sent === undefined ? {} : { requestObject: this.trimmed(sent) }),
      ...(shown === undefined ? {} : { responseObject: this.trimmed(shown) }),
    }
  }
  private async sentObject(): Promise<unknown> {
    const { object, headers } = this.request
    if (object !== undefined) return object
    if (this.body === undefined) return undefined
    try {
      return textOf(await this.body, mediaTypeOf(headers['content-type']), this.schema())
    } catch (error) {
      // What could not be read as a body has been answered with an error; there is nothing to write of it.
      if (error instanceof ApiError || error instanceof ParseError || error instanceof ProtobufError) return undefined
      throw error
    }
  }
  private schema(): ObjectSchema | undefined {
    const { group, version, resource, subresource } = this.info
    return subresource === '' ? this.server.resources.get(group, version, resource)?.schema : undefined
  }
  /** A create does not say in its path what it makes. */
  private referenceTo(sent: unknown): Partial<AuditEvent> {
    if (this.info.verb !== 'create' || this.info.name !== '') return {}
    const { metadata } = sent as { metadata?: { name?: unknown } }
    const reference = this.reference()
    return reference === undefined || typeof metadata?.name !== 'string' || metadata.name === ''
      ? {}
      : { objectRef: { ...reference, name: metadata.name } }
  }
  private reference(): AuditEvent['objectRef'] {
    const { isResource, resource, namespace, name, group, version, subresource } = this.info
    if (!isResource) return undefined
    return {
      resource,
      ...(namespace === '' ? {} : { namespace }),
      ...(name === '' ? {} : { name }),
      ...(group === '' ? {} : { apiGroup: group }),
      apiVersion: version,
      ...(subresource === '' ? {} : { subresource }),
    }
  }
  private trimmed(object: unknown): unknown {
    return this.decision.omitManagedFields ? withoutManagedFields(object) : object
  }

  private write(
    stage: AuditStage,
    responseStatus: AuditEvent['responseStatus'] | undefined,
    objects: Partial<AuditEvent>,
  ): void {
    if (this.decision.omitStages.has(stage)) return
    const { request } = this
    const reference = this.reference()
    const agent = request.headers['user-agent']
    this.log.write({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: this.decision.level,
      auditID: this.id,
      stage,
      requestURI: request.path,
      verb: this.info.verb,
      user: userOf(this.caller),
      ...(this.user === undefined ? {} : { impersonatedUser: userOf(this.user) }),
      sourceIPs: sourcesOf(request),
      ...(agent === undefined ? {} : { userAgent: agent }),
      ...(reference === undefined ? {} : { objectRef: reference }),
      ...(responseStatus === undefined ? {} : { responseStatus }),
      ...objects,
      requestReceivedTimestamp: rfc3339Micro(this.receivedMs),
      stageTimestamp: rfc3339Micro(this.server.clock.now()),
      ...(this.annotations === undefined ? {} : { annotations: { ...this.annotations } }),
    })
  }
}

/** The client first, then the proxies that it came through. */
function sourcesOf({ headers, sourceAddress = '127.0.0.1' }: ApiRequest): readonly string[] {
  const forwarded = (headers['x-forwarded-for'] ?? '')
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '')
  const own = sourceAddress.startsWith('::ffff:') ? sourceAddress.slice(7) : sourceAddress
  return [...new Set([...forwarded, own])]
}

function textOf(bytes: Uint8Array, mediaType: string, schema: ObjectSchema | undefined): unknown {
  if (bytes.length === 0) return undefined
  if (mediaType === protobufMediaType) {
    if (schema === undefined) return undefined
    const { apiVersion, kind, raw } = openEnvelope(bytes)
    return { kind, apiVersion, ...decodeMessage(schema, raw) }
  }
  const isYaml = mediaType.endsWith('yaml')
  return (isYaml ? parseYaml : parseJson)(bytes, { duplicates: false }).value
}

/** Reads the object of an answer, when asked. */
function shownOf(response: ApiResponse): () => unknown {
  if (response.kind === 'object') return () => response.object
  if (response.kind !== 'bytes') return () => undefined
  if (mediaTypeOf(response.headers['content-type']) !== 'application/json') return () => undefined
  return () => {
    const decoder = new TextDecoder()
    const text = decoder.decode(response.body, { stream: true }) + decoder.decode(response.rest)
    return text === '' ? undefined : (JSON.parse(text) as unknown)
  }
}

/** Of a failure its Status, of anything else the code. */
function statusOf(shown: unknown, code: number): NonNullable<AuditEvent['responseStatus']> {
  const status = shown as
    | { kind?: string; status?: string; message?: string; reason?: string; details?: object }
    | undefined
  if (code < 400 || status?.kind !== 'Status') return { metadata: {}, code }
  return {
    metadata: {},
    ...(status.status === undefined ? {} : { status: status.status }),
    ...(status.message === undefined ? {} : { message: status.message }),
    ...(status.reason === undefined ? {} : { reason: status.reason }),
    ...(status.details === undefined ? {} : { details: status.details }),
    code,
  }
}

function withoutManagedFields(object: unknown): unknown {
  if (typeof object !== 'object' || object === null) return object
  const { metadata, items, ...rest } = object as { metadata?: { managedFields?: unknown }; items?: unknown }
  const kept: Record<string, unknown> = { ...rest }
  if (metadata !== undefined && metadata !== null) {
    const { managedFields: _managed, ...others } = metadata
    kept['metadata'] = others
  }
  if (items !== undefined) kept['items'] = Array.isArray(items) ? items.map(withoutManagedFields) : items
  return kept
}

function once(run: () => void): () => void {
  let done = false
  return () => {
    if (!done) run()
    done = true
  }
}
/** Tells when a stream has ended, from whichever side. */
const tapped =
  <T>(open: (sink: Sink<T>) => StreamHandle, ended: () => void) =>
  (sink: Sink<T>): StreamHandle => {
    const handle = open({
      write: (item) => sink.write(item),
      end() {
        sink.end()
        ended()
      },
    })
    return {
      drained: () => handle.drained(),
      close() {
        handle.close()
        ended()
      },
    }
  }
