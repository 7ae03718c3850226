// discovery.k8s.io/v1 EndpointSlice: where a Service's traffic can go, in pieces of at most a thousand addresses.
import { ageCell } from '../machinery/age.ts'
import {
  duplicateField,
  type FieldError,
  invalidField,
  notSupportedField,
  requiredField,
  tooManyField,
} from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, boolean, type Infer, int32, object, optional, required, string, struct } from '../machinery/schema.ts'
import { isDns1123Label, isDns1123Subdomain, isValidIp, isValidPortNumber } from '../machinery/validation.ts'
import { objectReference } from '../core/references.ts'
import { atomicList, pointerText, textMap } from '../core/scalars.ts'
import { ageColumn, column, nameColumn } from '../core/workload-table.ts'

const DISCOVERY = 'io.k8s.api.discovery.v1.'
export const endpoint = object(`${DISCOVERY}Endpoint`, {
  addresses: required(1, array(string(), { listType: 'set' }), { mayBeEmpty: true }),
  conditions: struct(
    2,
    object(`${DISCOVERY}EndpointConditions`, {
      ready: optional(1, boolean()),
      serving: optional(2, boolean()),
      terminating: optional(3, boolean()),
    }),
  ),
  hostname: pointerText(3),
  targetRef: optional(4, objectReference),
  deprecatedTopology: textMap(5),
  nodeName: pointerText(6),
  zone: pointerText(7),
  hints: optional(
    8,
    object(`${DISCOVERY}EndpointHints`, {
      forZones: optional(1, array(object(`${DISCOVERY}ForZone`, { name: required(1, string()) }), atomicList)),
      forNodes: optional(2, array(object(`${DISCOVERY}ForNode`, { name: required(1, string()) }), atomicList)),
    }),
  ),
})
export interface Endpoint extends Infer<typeof endpoint> {}
export const endpointPort = object(
  `${DISCOVERY}EndpointPort`,
  {
    name: pointerText(1),
    protocol: optional(2, string()),
    port: optional(3, int32()),
    appProtocol: pointerText(4),
  },
  { mapType: 'atomic' },
)
export interface EndpointPort extends Infer<typeof endpointPort> {}
const schema = kindSchema(`${DISCOVERY}EndpointSlice`, {
  endpoints: optional(2, array(endpoint, atomicList)),
  ports: optional(3, array(endpointPort, atomicList)),
  addressType: required(4, string()),
})
export interface EndpointSlice extends ObjectOf<typeof schema> {}

const addressTypes = ['FQDN', 'IPv4', 'IPv6']
const protocols = ['SCTP', 'TCP', 'UDP']

function validateEndpoint(e: Endpoint, addressType: string, at: string): FieldError[] {
  const errors: FieldError[] = []
  if (e.addresses.length === 0) errors.push(requiredField(`${at}.addresses`, 'must contain at least 1 address'))
  if (e.addresses.length > 100) errors.push(tooManyField(`${at}.addresses`, e.addresses.length, 100))
  e.addresses.forEach((address, i) => {
    const here = `${at}.addresses[${i}]`
    if (addressType === 'FQDN') for (const m of isDns1123Subdomain(address)) errors.push(invalidField(here, address, m))
    else if (isValidIp(address).length > 0)
      errors.push(invalidField(here, address, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'))
    else if (address.includes(':') !== (addressType === 'IPv6'))
      errors.push(invalidField(here, address, `must be an ${addressType} address`))
    else if (/^(127\.|169\.254\.|0\.0\.0\.0$|::1?$|fe80:|224\.0\.0\.|ff02:)/i.test(address))
      errors.push(invalidField(here, address, 'may not be in the loopback, link-local or multicast range'))
  })
  if (e.hostname !== undefined)
    for (const m of isDns1123Label(e.hostname)) errors.push(invalidField(`${at}.hostname`, e.hostname, m))
  if ((e.hints?.forZones?.length ?? 0) > 8)
    errors.push(tooManyField(`${at}.hints.forZones`, e.hints?.forZones?.length ?? 0, 8))
  return errors
}

export const endpointSlices = defineKind<EndpointSlice>({
  group: 'discovery.k8s.io',
  version: 'v1',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
  singular: 'endpointslice',
  namespaced: true,
  schema,
  storagePrefix: '/registry/endpointslices',
  generation: true,
  unconditionalUpdate: true,
  table: {
    columns: [nameColumn, column('AddressType'), column('Ports'), column('Endpoints'), ageColumn],
    row: (o, nowMs) => {
      const ports = (o.ports ?? []).map((p) => (p.port === undefined ? '*' : String(p.port)))
      const addresses = (o.endpoints ?? []).flatMap((e) => e.addresses)
      const shown = (all: readonly string[], empty: string) =>
        all.length === 0
          ? empty
          : all.length > 3
            ? `${all.slice(0, 3).join(',')} + ${all.length - 3} more...`
            : all.join(',')
      return [
        o.metadata.name,
        o.addressType,
        shown(ports, '<unset>'),
        shown(addresses, '<unset>'),
        ageCell(o.metadata.creationTimestamp, nowMs),
      ]
    },
  },
  setDefaults: (draft) => {
    for (const port of draft.ports ?? []) {
      port.name ??= ''
      port.protocol ??= 'TCP'
    }
  },
  validate: (o) => {
    const errors: FieldError[] = []
    if (!addressTypes.includes(o.addressType))
      errors.push(
        o.addressType === ''
          ? requiredField('addressType')
          : notSupportedField('addressType', o.addressType, addressTypes),
      )
    const endpoints = o.endpoints ?? []
    if (endpoints.length > 1000) errors.push(tooManyField('endpoints', endpoints.length, 1000))
    else endpoints.forEach((e, i) => errors.push(...validateEndpoint(e, o.addressType, `endpoints[${i}]`)))
    const ports = o.ports ?? []
    if (ports.length > 20_000) errors.push(tooManyField('ports', ports.length, 20_000))
    const seen = new Set<string>()
    ports.forEach((p, i) => {
      const at = `ports[${i}]`
      const name = p.name ?? ''
      if (name !== '') for (const m of isDns1123Label(name)) errors.push(invalidField(`${at}.name`, name, m))
      if (seen.has(name)) errors.push(duplicateField(`${at}.name`, name))
      seen.add(name)
      if (p.protocol !== undefined && !protocols.includes(p.protocol))
        errors.push(notSupportedField(`${at}.protocol`, p.protocol, protocols))
      if (p.port !== undefined)
        for (const m of isValidPortNumber(p.port)) errors.push(invalidField(`${at}.port`, p.port, m))
    })
    return errors
  },
  validateUpdate: (next, old) =>
    next.addressType === old.addressType ? [] : [invalidField('addressType', next.addressType, 'field is immutable')],
})
