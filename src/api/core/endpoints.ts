// core/v1 Endpoints: where a Service's traffic goes, in the old form that holds everything in one object.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, defaulted, type Infer, int32, object, optional, required, string } from '../machinery/schema.ts'
import { isDns1123Label, isQualifiedName, isValidPortNumber } from '../machinery/validation.ts'
import { CORE, objectReference } from './references.ts'
import { atomicList, pointerText, text } from './scalars.ts'
import { validateNonSpecialIp } from './service-validation.ts'
import { ageColumn, column, nameColumn } from './workload-table.ts'

const atomic = { mapType: 'atomic' } as const
export const endpointAddress = object(
  `${CORE}EndpointAddress`,
  {
    ip: required(1, string()),
    targetRef: optional(2, objectReference),
    hostname: text(3),
    nodeName: pointerText(4),
  },
  atomic,
)
export interface EndpointAddress extends Infer<typeof endpointAddress> {}
export const endpointPort = object(
  `${CORE}EndpointPort`,
  {
    name: text(1),
    port: required(2, int32()),
    protocol: defaulted(3, string(), 'TCP'),
    appProtocol: pointerText(4),
  },
  atomic,
)
export interface EndpointPort extends Infer<typeof endpointPort> {}
export const endpointSubset = object(`${CORE}EndpointSubset`, {
  addresses: optional(1, array(endpointAddress, atomicList)),
  notReadyAddresses: optional(2, array(endpointAddress, atomicList)),
  ports: optional(3, array(endpointPort, atomicList)),
})
export interface EndpointSubset extends Infer<typeof endpointSubset> {}
const schema = kindSchema(`${CORE}Endpoints`, { subsets: optional(2, array(endpointSubset, atomicList)) })
export interface Endpoints extends ObjectOf<typeof schema> {}

const shownEndpoints = 3
/** Up to three of "ip:port", then how many more there are. */
function endpointsCell(all: Endpoints): string {
  const list = (all.subsets ?? []).flatMap((subset) => {
    const ips = subset.addresses?.map((address) => address.ip) ?? []
    if ((subset.ports?.length ?? 0) === 0) return ips
    return (subset.ports ?? []).flatMap((port) =>
      ips.map((ip) => (ip.includes(':') ? `[${ip}]:${port.port}` : `${ip}:${port.port}`)),
    )
  })
  if (list.length === 0) return '<none>'
  const shown = list.slice(0, shownEndpoints).join(',')
  return list.length > shownEndpoints ? `${shown} + ${list.length - shownEndpoints} more...` : shown
}

function validateEndpoints(endpoints: Endpoints): FieldError[] {
  return (endpoints.subsets ?? []).flatMap((subset, i) => {
    const at = `subsets[${i}]`
    const errors: FieldError[] = []
    if ((subset.addresses?.length ?? 0) === 0 && (subset.notReadyAddresses?.length ?? 0) === 0) {
      errors.push(requiredField(at, 'must specify `addresses` or `notReadyAddresses`'))
    }
    for (const list of ['addresses', 'notReadyAddresses'] as const) {
      subset[list]?.forEach((address, j) => {
        errors.push(...validateNonSpecialIp(address.ip, `${at}.${list}[${j}].ip`))
        if (address.hostname) {
          for (const message of isDns1123Label(address.hostname)) {
            errors.push(invalidField(`${at}.${list}[${j}].hostname`, address.hostname, message))
          }
        }
      })
    }
    const several = (subset.ports?.length ?? 0) > 1
    subset.ports?.forEach((port, j) => errors.push(...validatePort(port, several, `${at}.ports[${j}]`)))
    return errors
  })
}
const protocols = ['SCTP', 'TCP', 'UDP']
function validatePort(port: EndpointPort, nameRequired: boolean, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (!port.name) {
    if (nameRequired) errors.push(requiredField(`${path}.name`))
  } else for (const message of isDns1123Label(port.name)) errors.push(invalidField(`${path}.name`, port.name, message))
  for (const message of isValidPortNumber(port.port)) errors.push(invalidField(`${path}.port`, port.port, message))
  if (!protocols.includes(port.protocol)) errors.push(notSupportedField(`${path}.protocol`, port.protocol, protocols))
  if (port.appProtocol !== undefined) {
    for (const message of isQualifiedName(port.appProtocol)) {
      errors.push(invalidField(`${path}.appProtocol`, port.appProtocol, message))
    }
  }
  return errors
}

export const endpoints = defineKind<Endpoints>({
  group: '',
  version: 'v1',
  kind: 'Endpoints',
  plural: 'endpoints',
  singular: 'endpoints',
  shortNames: ['ep'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/services/endpoints',
  createOnUpdate: true,
  unconditionalUpdate: true,
  table: {
    columns: [nameColumn, column('Endpoints'), ageColumn],
    row: (e, nowMs) => [e.metadata.name, endpointsCell(e), ageCell(e.metadata.creationTimestamp, nowMs)],
  },
  validate: validateEndpoints,
  warnings: () => ['v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice'],
})
