// events.k8s.io/v1 Event: the stored core Event under other names (regarding for involvedObject, note for message).
import type { KindVersion } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import {
  type Draft,
  int32,
  type JsonObject,
  microTime,
  object,
  optional,
  required,
  struct,
} from '../machinery/schema.ts'
import { objectReference } from '../core/references.ts'
import { number32, text, when } from '../core/scalars.ts'

const EVENTS = 'io.k8s.api.events.v1.'

const eventSource = object('io.k8s.api.core.v1.EventSource', { component: text(1), host: text(2) })
const eventSeries = object(`${EVENTS}EventSeries`, {
  count: required(1, int32()),
  lastObservedTime: required(2, microTime()),
})
const schema = kindSchema(`${EVENTS}Event`, {
  eventTime: required(2, microTime()),
  series: optional(3, eventSeries),
  reportingController: text(4),
  reportingInstance: text(5),
  action: text(6),
  reason: text(7),
  regarding: struct(8, objectReference),
  related: optional(9, objectReference),
  note: text(10),
  type: text(11),
  deprecatedSource: struct(12, eventSource),
  deprecatedFirstTimestamp: when(13),
  deprecatedLastTimestamp: when(14),
  deprecatedCount: number32(15),
})
/** An Event as events.k8s.io/v1 shows it. */
export interface EventV1 extends ObjectOf<typeof schema> {}

/** events.k8s.io/v1 name to core/v1 name. */
const renamed = {
  note: 'message',
  regarding: 'involvedObject',
  reportingController: 'reportingComponent',
  deprecatedSource: 'source',
  deprecatedFirstTimestamp: 'firstTimestamp',
  deprecatedLastTimestamp: 'lastTimestamp',
  deprecatedCount: 'count',
} as const
function rename(draft: Draft<JsonObject>, from: string, to: string): void {
  const value = draft[from]
  delete draft[from]
  if (value !== undefined) draft[to] = value
}
/** The served version; it hangs below the core kind, which stores it. */
export const eventsV1: KindVersion = {
  group: 'events.k8s.io',
  version: 'v1',
  schema,
  shortNames: ['ev'],
  fieldNames: {
    ...Object.fromEntries(
      ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'].map((part) => [
        `regarding.${part}`,
        `involvedObject.${part}`,
      ]),
    ),
    reportingController: 'reportingComponent',
  },
  toStored: (draft) => {
    for (const [here, there] of Object.entries(renamed)) rename(draft, here, there)
    draft['involvedObject'] ??= {}
    draft['source'] ??= {}
    draft['reportingComponent'] ??= ''
    draft['reportingInstance'] ??= ''
  },
  fromStored: (draft) => {
    for (const [here, there] of Object.entries(renamed)) rename(draft, there, here)
    for (const name of ['reportingController', 'reportingInstance']) if (draft[name] === '') delete draft[name]
  },
}
