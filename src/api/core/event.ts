// Event, in its two forms: core/v1, which is stored, and events.k8s.io/v1, which names the same fields anew.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, objectMeta, type ObjectOf } from '../machinery/meta.ts'
import { type Infer, int32, microTime, object, optional, required, string, struct } from '../machinery/schema.ts'
import { isQualifiedName } from '../machinery/validation.ts'
import { eventsV1 } from '../events/event.ts'
import { CORE, objectReference } from './references.ts'
import { number32, text, when } from './scalars.ts'
import { column, wideColumn } from './workload-table.ts'

export const eventSource = object(`${CORE}EventSource`, { component: text(1), host: text(2) })
export interface EventSource extends Infer<typeof eventSource> {}
export const eventSeries = object(`${CORE}EventSeries`, {
  count: optional(1, int32(), { omitZero: true }),
  lastObservedTime: optional(2, microTime()),
})
const schema = kindSchema(`${CORE}Event`, {
  metadata: required(1, objectMeta),
  involvedObject: required(2, objectReference),
  reason: text(3),
  message: text(4),
  source: struct(5, eventSource),
  firstTimestamp: when(6),
  lastTimestamp: when(7),
  count: number32(8),
  type: text(9),
  eventTime: optional(10, microTime()),
  series: optional(11, eventSeries),
  action: text(12),
  related: optional(13, objectReference),
  reportingComponent: struct(14, string(), { publishDefault: true }),
  reportingInstance: struct(15, string(), { publishDefault: true }),
})
export interface Event extends ObjectOf<typeof schema> {}

/** When it was first and last seen; series and the old timestamps are two ways to say so. */
function seen(event: Event): { first: string | undefined; last: string | undefined; count: number } {
  const first = event.firstTimestamp ?? event.eventTime
  const last = event.series === undefined ? (event.lastTimestamp ?? first) : event.series.lastObservedTime
  return { first, last, count: event.series?.count ?? (event.count || 1) }
}
function sourceCell(event: Event): string {
  const component = event.source.component || event.reportingComponent
  const host = event.source.host || event.reportingInstance
  return [component, host].filter((part) => part !== '').join(', ')
}

const maxNote = 1024
/** Rules of new-style events, which are those that have an eventTime. */
function validateEvent(event: Event): FieldError[] {
  const errors: FieldError[] = []
  const { namespace } = event.involvedObject
  const own = event.metadata.namespace
  // what is in no namespace has its events in default; new-style ones may also be in kube-system
  const homes = event.eventTime === undefined ? ['default'] : ['default', 'kube-system']
  if (namespace ? namespace !== own : own !== undefined && !homes.includes(own)) {
    errors.push(invalidField('involvedObject.namespace', namespace ?? '', 'does not match event.namespace'))
  }
  if (event.eventTime === undefined) return errors
  if (event.type !== 'Normal' && event.type !== 'Warning') {
    errors.push(invalidField('type', event.type ?? '', ''))
  }
  if (event.reportingComponent === '') errors.push(requiredField('reportingController'))
  for (const message of isQualifiedName(event.reportingComponent)) {
    errors.push(invalidField('reportingController', event.reportingComponent, message))
  }
  if (event.reportingInstance === '') errors.push(requiredField('reportingInstance'))
  for (const [field, limit] of [
    ['reportingInstance', 128],
    ['action', 128],
    ['reason', 128],
  ] as const) {
    if ((event[field] ?? '').length > limit) {
      errors.push(invalidField(field, '', `can have at most ${limit} characters`))
    }
  }
  if (!event.action) errors.push(requiredField('action'))
  if (!event.reason) errors.push(requiredField('reason'))
  if ((event.message ?? '').length > maxNote)
    errors.push(invalidField('message', '', `can have at most ${maxNote} characters`))
  return errors
}

export const events = defineKind<Event>({
  group: '',
  version: 'v1',
  kind: 'Event',
  plural: 'events',
  singular: 'event',
  shortNames: ['ev'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/events',
  createOnUpdate: true,
  unconditionalUpdate: true,
  selectableFields: {
    'involvedObject.kind': (e) => e.involvedObject.kind ?? '',
    'involvedObject.namespace': (e) => e.involvedObject.namespace ?? '',
    'involvedObject.name': (e) => e.involvedObject.name ?? '',
    'involvedObject.uid': (e) => e.involvedObject.uid ?? '',
    'involvedObject.apiVersion': (e) => e.involvedObject.apiVersion ?? '',
    'involvedObject.resourceVersion': (e) => e.involvedObject.resourceVersion ?? '',
    'involvedObject.fieldPath': (e) => e.involvedObject.fieldPath ?? '',
    reason: (e) => e.reason ?? '',
    reportingComponent: (e) => e.reportingComponent,
    source: (e) => e.source.component || e.reportingComponent,
    type: (e) => e.type ?? '',
  },
  table: {
    columns: [
      column('Last Seen'),
      column('Type'),
      column('Reason'),
      column('Object'),
      wideColumn('Subobject'),
      wideColumn('Source'),
      column('Message'),
      wideColumn('First Seen'),
      wideColumn('Count'),
      { name: 'Name', type: 'string', format: 'name', priority: 1 },
    ],
    row: (e, nowMs) => {
      const { first, last, count } = seen(e)
      const { kind = '', name = '' } = e.involvedObject
      return [
        ageCell(last, nowMs),
        e.type ?? '',
        e.reason ?? '',
        name === '' ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`,
        e.involvedObject.fieldPath ?? '',
        sourceCell(e),
        (e.message ?? '').trim(),
        ageCell(first, nowMs),
        String(count),
        e.metadata.name,
      ]
    },
  },
  validate: validateEvent,
  versions: [eventsV1],
})
