// A request as webhooks and policies see it: in the version that they asked for, whatever version the client used.
import { splitApiVersion } from '../../../api/machinery/api-version.ts'
import { decode } from '../../../api/machinery/decode.ts'
import { applyDefaults } from '../../../api/machinery/defaults.ts'
import { equal } from '../../../api/machinery/equal.ts'
import type { KubeObject } from '../../../api/machinery/meta.ts'
import type { Draft, JsonObject } from '../../../api/machinery/schema.ts'
import { defaultObject, type ObjectDraft, toStored } from '../../codec.ts'
import type { ServerContext } from '../../context.ts'
import type { ServedResource } from '../../resources.ts'
import { versionedObject } from '../../responders/view.ts'
import type { AdmissionRequest, BodyShape } from '../admission.ts'

export interface GroupVersionKind {
  readonly group: string
  readonly version: string
  readonly kind: string
}
export interface GroupVersionResource {
  readonly group: string
  readonly version: string
  readonly resource: string
}
type Shown = JsonObject | undefined | Promise<JsonObject | undefined>

export class Attributes {
  readonly request: AdmissionRequest
  readonly server: ServerContext
  private readonly objects = new Map<ServedResource, Shown>()
  private readonly oldObjects = new Map<ServedResource, Shown>()

  constructor(request: AdmissionRequest, server: ServerContext) {
    this.request = request
    this.server = server
  }

  private get shape(): BodyShape | undefined {
    return this.request.shape ?? this.request.facade?.shape
  }
  /** The other served versions of the resource, where a rule may mean one of them instead. */
  get equivalents(): readonly ServedResource[] {
    return this.server.resources.versionsOf(this.request.resource.storage).filter((v) => v !== this.request.resource)
  }
  kindIn(version: ServedResource): GroupVersionKind {
    const { shape } = this
    if (shape === undefined) return { group: version.group, version: version.version, kind: version.kind.kind }
    const [group, reviewed] = splitApiVersion(shape.apiVersion)
    return { group, version: reviewed, kind: shape.kind }
  }
  /** Namespace as requests have it: a Namespace is in itself. */
  get namespace(): string {
    const { resource, namespace, name } = this.request
    return resource.group === '' && resource.kind.plural === 'namespaces' ? name : namespace
  }

  objectIn(version: ServedResource): Shown {
    return this.cached(this.objects, version, this.request.object as KubeObject | undefined)
  }
  oldObjectIn(version: ServedResource): Shown {
    return this.cached(this.oldObjects, version, this.request.oldObject)
  }
  private cached(known: Map<ServedResource, Shown>, version: ServedResource, object: KubeObject | undefined): Shown {
    if (object === undefined) return undefined
    if (known.has(version)) return known.get(version)
    const shown = this.show(version, object)
    known.set(version, shown)
    return shown
  }
  private show(version: ServedResource, object: KubeObject): Shown {
    const { facade, shape, resource } = this.request
    if (facade !== undefined) return facade.show(object)
    if (shape !== undefined)
      return { ...object, apiVersion: shape.apiVersion, kind: shape.kind } as unknown as JsonObject
    if (version.boundary === undefined || version === resource)
      return versionedObject(version, object) as unknown as JsonObject
    return inOther(resource, version, object) as unknown as Promise<JsonObject>
  }

  /** Puts an object of a served version in the place of the request's; false where nothing is different. Throws
   * DecodeError. */
  async replace(version: ServedResource, value: JsonObject): Promise<boolean> {
    const { object, facade, shape, resource } = this.request
    if (object === undefined) return false
    this.objects.clear()
    const before = JSON.stringify(object)
    if (facade !== undefined) {
      facade.take(object, decoded(facade.shape, value))
      return JSON.stringify(object) !== before
    }
    if (shape !== undefined) {
      const next = decoded(shape, value)
      if (equal(next, object as unknown as JsonObject)) return false
      refill(object, next as unknown as ObjectDraft)
      return true
    }
    const draft = decode<KubeObject>(version.schema, value).value as ObjectDraft
    draft.metadata ??= {} as ObjectDraft['metadata']
    defaultObject(version, draft)
    const stored = toStored(version, draft)
    const next =
      version === resource || version.boundary === undefined
        ? stored
        : ((await inOther(version, resource, stored as KubeObject)) as ObjectDraft)
    if (equal(next as unknown as JsonObject, object as unknown as JsonObject)) return false
    refill(object, next)
    return true
  }
}

function decoded(shape: BodyShape, value: JsonObject): JsonObject {
  if (shape.schema === undefined) return value
  const draft = decode<JsonObject>(shape.schema, value).value as Draft<JsonObject>
  applyDefaults(shape.schema, draft)
  return draft as JsonObject
}

async function inOther(from: ServedResource, to: ServedResource, object: KubeObject): Promise<KubeObject> {
  const stored = from.boundary === undefined ? object : await from.boundary.toStored(object)
  return to.boundary === undefined ? stored : to.boundary.fromStored(stored)
}

/** Makes `target` say what `source` says. The object and its metadata stay the same references: others hold them. */
function refill(target: ObjectDraft, source: ObjectDraft): void {
  const { metadata } = target
  const own = target as unknown as Record<string, unknown>
  for (const key of Object.keys(own)) if (key !== 'metadata') delete own[key]
  for (const [key, value] of Object.entries(source)) if (key !== 'metadata') own[key] = value
  if (metadata === undefined) return
  const data = metadata as Record<string, unknown>
  for (const key of Object.keys(data)) delete data[key]
  Object.assign(data, source.metadata)
}
