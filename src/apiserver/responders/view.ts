// How stored objects are shown to one kind of client: which version, which representation, which encoding. The common
// view (the stored version as JSON) is bytes cut from the store with the resourceVersion put in; every other view goes
// through the decoded object.
import { freeze } from '../../api/machinery/freeze.ts'
import { type KubeObject, type ListMeta, listMeta, status as statusSchema } from '../../api/machinery/meta.ts'
import {
  encodeList,
  encodeMessage,
  encodeWatchFrame,
  envelope,
  protobufMediaType,
} from '../../api/machinery/protobuf.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import type { Draft, JsonObject } from '../../api/machinery/schema.ts'
import {
  type IncludeObject,
  type MetaVersion,
  partialObject,
  partialObjectList,
  tableOf,
} from '../../api/machinery/table.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ServedResource } from '../resources.ts'
import type { Entry } from '../storage/collection.ts'
import { joinServed, servedBytes, utf8 } from '../storage/layout.ts'
import { Recent } from '../storage/recent.ts'
import type { EventFormat, EventType } from '../watch/hub.ts'
import { encodeObject } from './encode.ts'
import type { Negotiated } from './negotiate.ts'

export interface ListHead {
  readonly resourceVersion: string
  readonly continue?: string | undefined
  readonly remainingItemCount?: number | undefined
}
export interface View {
  readonly contentType: string
  single(entry: Entry): Uint8Array
  /** An object that is not stored, in the stored version. */
  loose(object: object): Uint8Array
  list(entries: readonly Entry[], head: ListHead): Uint8Array
  /** Objects of the request's version that lie in the store in another form. */
  looseList(objects: readonly KubeObject[], head: ListHead): Uint8Array
  looseEvent(type: EventType, object: KubeObject): Uint8Array
  /** The body of a list in two parts: one for its head, one for its items that is the same until an item changes. */
  readonly split?: { head(head: ListHead): Uint8Array; items(entries: readonly Entry[]): Uint8Array }
  readonly events: EventFormat<Uint8Array>
}

/** The object of a served version; the same reference where it is the stored one. Frozen. */
export function versionedObject(resource: ServedResource, object: KubeObject): KubeObject {
  const { as } = resource
  if (as === undefined) return object
  const draft = draftOf(object) as unknown as Draft<JsonObject>
  as.fromStored(draft)
  const converted = draft as unknown as Record<string, unknown>
  converted['apiVersion'] = resource.apiVersion
  return freeze(converted) as unknown as KubeObject
}

/** The decoded object of an entry with the revision of an event. */
function objectAt(resource: ServedResource, entry: Entry, revision: number): KubeObject {
  const object = resource.storage.collection.object(entry)
  if (entry.modRevision === revision) return object
  return freeze({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } })
}

const listKindOf = (resource: ServedResource): string => resource.kind.listKind ?? `${resource.kind.kind}List`

/** Frozen data of a list. */
export function listObject(resource: ServedResource, items: readonly unknown[], head: ListHead) {
  return {
    kind: listKindOf(resource),
    apiVersion: resource.apiVersion,
    metadata: headOf(head),
    items,
  }
}
const headOf = (head: ListHead) => ({
  resourceVersion: head.resourceVersion,
  ...(head.continue === undefined ? {} : { continue: head.continue }),
  ...(head.remainingItemCount === undefined ? {} : { remainingItemCount: head.remainingItemCount }),
})

const words: Readonly<Record<EventType, Uint8Array>> = {
  ADDED: utf8('{"type":"ADDED","object":'),
  MODIFIED: utf8('{"type":"MODIFIED","object":'),
  DELETED: utf8('{"type":"DELETED","object":'),
}
const eventEnd = utf8('}\n')

export const statusOf = (error: unknown) =>
  error instanceof ApiError
    ? error.toStatus()
    : new ApiError('InternalError', `Internal error occurred: ${String(error)}`).toStatus()

export function bookmarkObject(resource: ServedResource, revision: number, initialEventsEnd: boolean) {
  return {
    kind: resource.kind.kind,
    apiVersion: resource.apiVersion,
    metadata: {
      resourceVersion: String(revision),
      creationTimestamp: null,
      ...(initialEventsEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
    },
  }
}

/** Stored version, whole objects, JSON: no object is ever decoded. */
function jsonView(resource: ServedResource): View {
  const { layout } = resource.storage.collection
  const listStart = `{"kind":${JSON.stringify(listKindOf(resource))},"apiVersion":${JSON.stringify(resource.apiVersion)},"metadata":`
  const tail = utf8(']}\n')
  const nothing = new Uint8Array()
  const listHead = (head: ListHead) => utf8(`${listStart}${JSON.stringify(headOf(head))},"items":[`)
  return {
    contentType: 'application/json',
    single: (entry) => servedBytes(layout, entry.value, entry.modRevision),
    loose: (object) => utf8(JSON.stringify(object)),
    list: (entries, head) => joinServed(layout, entries, listHead(head), tail),
    looseList: (objects, head) => utf8(JSON.stringify(listObject(resource, objects, head))),
    looseEvent: (type, object) => utf8(`{"type":"${type}","object":${JSON.stringify(object)}}\n`),
    split: { head: listHead, items: (entries) => joinServed(layout, entries, nothing, tail) },
    events: {
      id: `json ${resource.apiVersion}`,
      event: (type, entry, revision) => servedBytes(layout, entry.value, revision, words[type], eventEnd),
      bookmark: (revision, end) =>
        utf8(`{"type":"BOOKMARK","object":${JSON.stringify(bookmarkObject(resource, revision, end))}}\n`),
      join: concat,
      error: (error) => utf8(`{"type":"ERROR","object":${JSON.stringify(statusOf(error))}}\n`),
      sizeOf: (frame) => frame.length,
    },
  }
}

export function concat(frames: readonly Uint8Array[]): Uint8Array {
  let size = 0
  for (const frame of frames) size += frame.length
  const out = new Uint8Array(size)
  let at = 0
  for (const frame of frames) {
    out.set(frame, at)
    at += frame.length
  }
  return out
}

/** Any other view: decoded objects, shown as `negotiated` says. */
function objectView(
  resource: ServedResource,
  negotiated: Negotiated,
  includeObject: IncludeObject,
  clock: Clock,
): View {
  const version = negotiated.metaVersion as MetaVersion
  const definition = resource.as?.table ?? resource.kind.table
  const table = (objects: readonly KubeObject[], head: ListMeta) =>
    tableOf(definition, objects, head, { nowMs: clock.now(), includeObject, version })
  const show = (object: KubeObject): object => {
    switch (negotiated.as) {
      case 'object':
        return versionedObject(resource, object)
      case 'partial':
      case 'partial-list':
        return partialObject(object, version)
      case 'table':
        return table([versionedObject(resource, object)], { resourceVersion: object.metadata.resourceVersion })
    }
  }
  const showList = (objects: readonly KubeObject[], head: ListHead): object => {
    switch (negotiated.as) {
      case 'object':
        return listObject(
          resource,
          objects.map((object) => versionedObject(resource, object)),
          head,
        )
      case 'partial':
      case 'partial-list':
        return partialObjectList(objects, headOf(head), version)
      case 'table':
        return table(
          objects.map((object) => versionedObject(resource, object)),
          headOf(head),
        )
    }
  }
  const { collection } = resource.storage
  const encode = (object: object) => encodeObject(negotiated.encoding, object)
  const frame = (type: string, object: object) => encodeEvent(negotiated, type, object)
  return {
    contentType: negotiated.contentType,
    single: (entry) => encode(show(collection.object(entry))),
    loose: (object) => encode(show(object as KubeObject)),
    list: (entries, head) =>
      encode(
        showList(
          entries.map((entry) => collection.object(entry)),
          head,
        ),
      ),
    looseList: (objects, head) => encode(showList(objects, head)),
    looseEvent: (type, object) => frame(type, show(object)),
    events: {
      id: `${negotiated.encoding} ${negotiated.as} ${version} ${resource.apiVersion} ${includeObject}`,
      event: (type, entry, revision) => frame(type, show(objectAt(resource, entry, revision))),
      bookmark(revision, end) {
        const bare = bookmarkObject(resource, revision, end) as unknown as KubeObject
        if (negotiated.as === 'object') return frame('BOOKMARK', bare)
        if (negotiated.as === 'table') return frame('BOOKMARK', table([], { resourceVersion: String(revision) }))
        return frame('BOOKMARK', partialObject(bare, version))
      },
      join: concat,
      error: (error) => frame('ERROR', statusOf(error)),
      sizeOf: (bytes) => bytes.length,
    },
  }
}

/** Whole objects as protobuf: each version's message is made once, for single answers, lists and events alike. */
function protobufView(resource: ServedResource): View {
  const { collection } = resource.storage
  const { apiVersion, schema } = resource
  const { kind } = resource.kind
  const messages = new Recent<Entry, Uint8Array>(recentMessages)
  const messageOf = (entry: Entry): Uint8Array => {
    const known = messages.get(entry)
    if (known !== undefined) return known
    const message = encodeMessage(schema, versionedObject(resource, collection.object(entry)))
    messages.set(entry, message)
    return message
  }
  const frame = (type: string, raw: Uint8Array) => encodeWatchFrame(type, envelope(apiVersion, kind, raw))
  const status = (error: unknown) =>
    encodeWatchFrame('ERROR', envelope('v1', 'Status', encodeMessage(statusSchema, statusOf(error))))
  return {
    contentType: protobufMediaType,
    single: (entry) => envelope(apiVersion, kind, messageOf(entry)),
    loose: (object) =>
      envelope(apiVersion, kind, encodeMessage(schema, versionedObject(resource, object as KubeObject))),
    list: (entries, head) =>
      encodeList(listMeta, headOf(head), entries.map(messageOf), apiVersion, listKindOf(resource)),
    looseList: (objects, head) =>
      encodeList(
        listMeta,
        headOf(head),
        objects.map((object) => encodeMessage(schema, object)),
        apiVersion,
        listKindOf(resource),
      ),
    looseEvent: (type, object) => frame(type, encodeMessage(schema, object)),
    events: {
      id: `protobuf ${apiVersion}`,
      event(type, entry, revision) {
        if (entry.modRevision === revision) return frame(type, messageOf(entry))
        return frame(type, encodeMessage(schema, versionedObject(resource, objectAt(resource, entry, revision))))
      },
      bookmark: (revision, end) => frame('BOOKMARK', encodeMessage(schema, bookmarkObject(resource, revision, end))),
      join: concat,
      error: status,
      sizeOf: (bytes) => bytes.length,
    },
  }
}
/** Messages kept per resource and generation. */
const recentMessages = 1024

function encodeEvent(negotiated: Negotiated, type: string, object: object): Uint8Array {
  if (negotiated.encoding === 'json') return utf8(`{"type":"${type}","object":${JSON.stringify(object)}}\n`)
  return encodeObject(negotiated.encoding, object, type)
}

const views = new WeakMap<ServedResource, Map<string, View>>()

/** The view of a resource that a request has negotiated. */
export function viewOf(
  resource: ServedResource,
  negotiated: Negotiated,
  includeObject: IncludeObject,
  clock: Clock,
): View {
  let known = views.get(resource)
  if (known === undefined) {
    known = new Map()
    views.set(resource, known)
  }
  const id = `${negotiated.encoding} ${negotiated.as} ${negotiated.metaVersion} ${includeObject}`
  let view = known.get(id)
  if (view === undefined) {
    if (negotiated.as === 'object' && negotiated.encoding === 'protobuf') view = protobufView(resource)
    else if (
      negotiated.as === 'object' &&
      negotiated.encoding === 'json' &&
      resource.as === undefined &&
      resource.boundary === undefined
    ) {
      view = jsonView(resource)
    } else view = objectView(resource, negotiated, includeObject, clock)
    known.set(id, view)
  }
  return view
}

/** Watch events for callers in this process: the frozen objects themselves, several to a frame. */
export function objectEvents(resource: ServedResource): EventFormat<readonly unknown[]> {
  return {
    id: `objects ${resource.apiVersion}`,
    event: (type, entry, revision) => [
      Object.freeze({ type, object: versionedObject(resource, objectAt(resource, entry, revision)) }),
    ],
    bookmark: (revision, end) => [{ type: 'BOOKMARK', object: bookmarkObject(resource, revision, end) }],
    join: (frames) => frames.flat(),
    error: (error) => [{ type: 'ERROR', object: statusOf(error) }],
    sizeOf: (frame) => frame.length * 1024,
  }
}
