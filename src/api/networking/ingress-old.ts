// Ingress before networking.k8s.io/v1: a backend was serviceName and servicePort, spec.defaultBackend was spec.backend,
// and pathType could be left out.
import type { KindVersion } from '../machinery/kind.ts'
import { kindSchema } from '../machinery/meta.ts'
import { type Bag, bagOf, bagsOf, move, oldVersion } from '../machinery/old-version.ts'
import {
  array,
  type Draft,
  intOrString,
  type Json,
  type JsonObject,
  type ObjectSchema,
  object,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'
import { typedLocalObjectReference } from '../core/references.ts'

const OLD = 'io.k8s.api.networking.v1beta1.'

function schemaOf(status: ObjectSchema, tls: ObjectSchema): ObjectSchema {
  const backend = object(`${OLD}IngressBackend`, {
    serviceName: optional(1, string()),
    servicePort: optional(2, intOrString()),
    resource: optional(3, typedLocalObjectReference),
  })
  const path = object(`${OLD}HTTPIngressPath`, {
    path: optional(1, string()),
    backend: required(2, backend),
    pathType: optional(3, string()),
  })
  const rule = object(`${OLD}IngressRule`, {
    host: optional(1, string()),
    http: optional(
      1,
      object(`${OLD}HTTPIngressRuleValue`, { paths: required(1, array(path, { listType: 'atomic' })) }),
      { within: [2] },
    ),
  })
  return kindSchema(`${OLD}Ingress`, {
    spec: struct(
      2,
      object(`${OLD}IngressSpec`, {
        backend: optional(1, backend),
        tls: optional(2, array(tls, { listType: 'atomic' })),
        rules: optional(3, array(rule, { listType: 'atomic' })),
        ingressClassName: optional(4, string()),
      }),
    ),
    status: struct(3, status),
  })
}

function backendToStored(backend: Bag): void {
  const { serviceName, servicePort } = backend
  delete backend['serviceName']
  delete backend['servicePort']
  if (serviceName === undefined) return
  const port: Json =
    typeof servicePort === 'number' ? { number: servicePort } : servicePort === undefined ? {} : { name: servicePort }
  backend['service'] = { name: serviceName, port }
}
function backendFromStored(backend: Bag): void {
  const service = bagOf(backend['service'])
  delete backend['service']
  if (service['name'] === undefined) return
  const port = bagOf(service['port'])
  backend['serviceName'] = service['name']
  backend['servicePort'] = port['number'] ?? port['name'] ?? 0
}
const pathsOf = (spec: Bag): Bag[] => bagsOf(spec['rules']).flatMap((rule) => bagsOf(bagOf(rule['http'])['paths']))

const toStored = (draft: Draft<JsonObject>) => {
  const spec = bagOf(draft['spec'])
  move(spec, 'backend', 'defaultBackend')
  if (spec['defaultBackend'] !== undefined) backendToStored(bagOf(spec['defaultBackend']))
  for (const path of pathsOf(spec)) backendToStored(bagOf(path['backend']))
}
const fromStored = (draft: Draft<JsonObject>) => {
  const spec = bagOf(draft['spec'])
  move(spec, 'defaultBackend', 'backend')
  if (spec['backend'] !== undefined) backendFromStored(bagOf(spec['backend']))
  for (const path of pathsOf(spec)) backendFromStored(bagOf(path['backend']))
}
const setDefaults = (draft: Draft<JsonObject>) => {
  for (const path of pathsOf(bagOf(draft['spec']))) path['pathType'] ??= 'ImplementationSpecific'
}

/** extensions/v1beta1 and networking.k8s.io/v1beta1, given what they share with v1. */
export function oldIngressVersions(status: ObjectSchema, tls: ObjectSchema): KindVersion[] {
  const schema = schemaOf(status, tls)
  const shared = {
    kind: 'Ingress',
    schema,
    removed: 22,
    instead: 'networking.k8s.io/v1',
    setDefaults,
    toStored,
    fromStored,
  }
  return [
    oldVersion({ ...shared, group: 'networking.k8s.io', version: 'v1beta1', deprecated: 19 }),
    oldVersion({ ...shared, group: 'extensions', version: 'v1beta1', deprecated: 14 }),
  ]
}
