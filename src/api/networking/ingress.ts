// networking.k8s.io/v1 Ingress and IngressClass: HTTP routing by host and path.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, type Infer, int32, object, optional, required, string, struct } from '../machinery/schema.ts'
import {
  isDns1123Subdomain,
  isValidIp,
  isValidPortName,
  isValidPortNumber,
  isWildcardDns1123Subdomain,
} from '../machinery/validation.ts'
import { typedLocalObjectReference } from '../core/references.ts'
import { oldIngressVersions } from './ingress-old.ts'

const NET = 'io.k8s.api.networking.v1.'
const pathTypes = ['Exact', 'ImplementationSpecific', 'Prefix']
/** Old annotation that names the class; still honoured where spec.ingressClassName is unset. */
export const ingressClassAnnotation = 'kubernetes.io/ingress.class'
export const defaultIngressClassAnnotation = 'ingressclass.kubernetes.io/is-default-class'

export const serviceBackendPort = object(
  `${NET}ServiceBackendPort`,
  { name: optional(1, string()), number: optional(2, int32()) },
  { mapType: 'atomic' },
)
export const ingressServiceBackend = object(`${NET}IngressServiceBackend`, {
  name: required(1, string()),
  port: struct(2, serviceBackendPort),
})
export const ingressBackend = object(`${NET}IngressBackend`, {
  resource: optional(3, typedLocalObjectReference),
  service: optional(4, ingressServiceBackend),
})
export interface IngressBackend extends Infer<typeof ingressBackend> {}
export const httpIngressPath = object(`${NET}HTTPIngressPath`, {
  path: optional(1, string()),
  backend: required(2, ingressBackend),
  pathType: required(3, string(), { pointer: true }),
})
export interface HttpIngressPath extends Infer<typeof httpIngressPath> {}
const httpIngressRuleValue = object(`${NET}HTTPIngressRuleValue`, {
  paths: required(1, array(httpIngressPath, { listType: 'atomic' })),
})
export const ingressRule = object(`${NET}IngressRule`, {
  host: optional(1, string()),
  http: optional(1, httpIngressRuleValue, { within: [2] }),
})
export interface IngressRule extends Infer<typeof ingressRule> {}
export const ingressTls = object(`${NET}IngressTLS`, {
  hosts: optional(1, array(string(), { listType: 'atomic' })),
  secretName: optional(2, string()),
})
export interface IngressTls extends Infer<typeof ingressTls> {}
export const ingressSpec = object(`${NET}IngressSpec`, {
  defaultBackend: optional(1, ingressBackend),
  tls: optional(2, array(ingressTls, { listType: 'atomic' })),
  rules: optional(3, array(ingressRule, { listType: 'atomic' })),
  ingressClassName: optional(4, string()),
})
export interface IngressSpec extends Infer<typeof ingressSpec> {}
const ingressPortStatus = object(`${NET}IngressPortStatus`, {
  port: required(1, int32()),
  protocol: required(2, string()),
  error: optional(3, string()),
})
export const ingressLoadBalancerIngress = object(`${NET}IngressLoadBalancerIngress`, {
  ip: optional(1, string()),
  hostname: optional(2, string()),
  ports: optional(4, array(ingressPortStatus, { listType: 'atomic' })),
})
const ingressLoadBalancerStatus = object(`${NET}IngressLoadBalancerStatus`, {
  ingress: optional(1, array(ingressLoadBalancerIngress, { listType: 'atomic' })),
})
const ingressStatus = object(`${NET}IngressStatus`, { loadBalancer: struct(1, ingressLoadBalancerStatus) })
const ingressSchema = kindSchema(`${NET}Ingress`, { spec: struct(2, ingressSpec), status: struct(3, ingressStatus) })
export interface Ingress extends ObjectOf<typeof ingressSchema> {}

function validateBackend(backend: IngressBackend, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (backend.resource !== undefined && backend.service !== undefined)
    return [invalidField(path, '', 'cannot set both resource and service backends')]
  if (backend.resource !== undefined) {
    if (backend.resource.name === '') errors.push(requiredField(`${path}.resource.name`))
    if (backend.resource.kind === '') errors.push(requiredField(`${path}.resource.kind`))
    return errors
  }
  if (backend.service === undefined) return [requiredField(`${path}.service.name`)]
  const { name, port } = backend.service
  if (name === '') errors.push(requiredField(`${path}.service.name`))
  if (port.name !== undefined && port.name !== '' && (port.number ?? 0) !== 0)
    errors.push(invalidField(`${path}.service.port`, '', 'cannot set both port name & port number'))
  else if (port.name !== undefined && port.name !== '')
    for (const message of isValidPortName(port.name))
      errors.push(invalidField(`${path}.service.port.name`, port.name, message))
  else if ((port.number ?? 0) === 0)
    errors.push(requiredField(`${path}.service.port`, 'port name or number is required'))
  else
    for (const message of isValidPortNumber(port.number ?? 0))
      errors.push(invalidField(`${path}.service.port.number`, port.number, message))
  return errors
}

function validatePath(p: HttpIngressPath, at: string): FieldError[] {
  const errors: FieldError[] = []
  if (!pathTypes.includes(p.pathType)) {
    errors.push(
      p.pathType === '' || p.pathType === undefined
        ? requiredField(`${at}.pathType`, 'pathType must be specified')
        : notSupportedField(`${at}.pathType`, p.pathType, pathTypes),
    )
  } else if (p.pathType === 'ImplementationSpecific') {
    if ((p.path ?? '') !== '' && !(p.path ?? '').startsWith('/'))
      errors.push(invalidField(`${at}.path`, p.path, 'must be an absolute path'))
  } else {
    const path = p.path ?? ''
    if (!path.startsWith('/')) errors.push(invalidField(`${at}.path`, path, 'must be an absolute path'))
    for (const bad of ['//', '/./', '/../', '%2f', '%2F'])
      if (path.includes(bad)) errors.push(invalidField(`${at}.path`, path, `must not contain '${bad}'`))
    for (const bad of ['/..', '/.'])
      if (path.endsWith(bad)) errors.push(invalidField(`${at}.path`, path, `cannot end with '${bad}'`))
  }
  errors.push(...validateBackend(p.backend, `${at}.backend`))
  return errors
}

function validateIngress(ingress: Ingress): FieldError[] {
  const { spec } = ingress
  const errors: FieldError[] = []
  if ((spec.rules ?? []).length === 0 && spec.defaultBackend === undefined)
    errors.push(invalidField('spec', { ...spec } as never, 'either `defaultBackend` or `rules` must be specified'))
  if (spec.defaultBackend !== undefined) errors.push(...validateBackend(spec.defaultBackend, 'spec.defaultBackend'))
  spec.rules?.forEach((rule, i) => {
    const at = `spec.rules[${i}]`
    const host = rule.host ?? ''
    if (host !== '') {
      if (isValidIp(host).length === 0)
        errors.push(invalidField(`${at}.host`, host, 'must be a DNS name, not an IP address'))
      const messages = host.includes('*') ? isWildcardDns1123Subdomain(host) : isDns1123Subdomain(host)
      for (const message of messages) errors.push(invalidField(`${at}.host`, host, message))
    }
    if (rule.http !== undefined) {
      if (rule.http.paths.length === 0) errors.push(requiredField(`${at}.http.paths`))
      rule.http.paths.forEach((p, j) => errors.push(...validatePath(p, `${at}.http.paths[${j}]`)))
    }
  })
  spec.tls?.forEach((tls, i) => {
    tls.hosts?.forEach((host, j) => {
      const messages = host.includes('*') ? isWildcardDns1123Subdomain(host) : isDns1123Subdomain(host)
      for (const message of messages) errors.push(invalidField(`spec.tls[${i}].hosts[${j}]`, host, message))
    })
    if ((tls.secretName ?? '') !== '')
      for (const message of isDns1123Subdomain(tls.secretName ?? ''))
        errors.push(invalidField(`spec.tls[${i}].secretName`, tls.secretName, message))
  })
  if (spec.ingressClassName !== undefined) {
    for (const message of isDns1123Subdomain(spec.ingressClassName))
      errors.push(invalidField('spec.ingressClassName', spec.ingressClassName, message))
  }
  return errors
}

const hostsOf = (rules: readonly IngressRule[]): string => {
  const hosts = rules.map((r) => r.host ?? '').filter((h) => h !== '')
  if (hosts.length === 0) return '*'
  return hosts.length > 3 ? `${hosts.slice(0, 3).join(',')} + ${hosts.length - 3} more...` : hosts.join(',')
}

export const ingresses = defineKind<Ingress>({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'Ingress',
  plural: 'ingresses',
  singular: 'ingress',
  shortNames: ['ing'],
  namespaced: true,
  schema: ingressSchema,
  storagePrefix: '/registry/ingress',
  versions: oldIngressVersions(ingressStatus, ingressTls),
  subresources: { status: true },
  generation: true,
  unconditionalUpdate: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Class', type: 'string' },
      { name: 'Hosts', type: 'string' },
      { name: 'Address', type: 'string' },
      { name: 'Ports', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      o.spec.ingressClassName ?? o.metadata.annotations?.[ingressClassAnnotation] ?? '<none>',
      hostsOf(o.spec.rules ?? []),
      (o.status.loadBalancer.ingress ?? [])
        .map((i) => i.ip ?? i.hostname ?? '')
        .filter((a) => a !== '')
        .join(','),
      (o.spec.tls ?? []).length > 0 ? '80, 443' : '80',
      ageCell(o.metadata.creationTimestamp, nowMs),
    ],
  },
  prepareForCreate: (draft) => {
    draft.status = { loadBalancer: {} }
  },
  validate: (o) => {
    const errors = validateIngress(o)
    const annotation = o.metadata.annotations?.[ingressClassAnnotation]
    if (annotation !== undefined && o.spec.ingressClassName !== undefined && o.metadata.uid === '')
      errors.push(
        invalidField(
          `annotations.${ingressClassAnnotation}`,
          annotation,
          'can not be set when the class field is also set',
        ),
      )
    return errors
  },
})

const parametersReference = object(`${NET}IngressClassParametersReference`, {
  apiGroup: optional(1, string()),
  kind: required(2, string()),
  name: required(3, string()),
  scope: optional(4, string()),
  namespace: optional(5, string()),
})
const ingressClassSpec = object(`${NET}IngressClassSpec`, {
  controller: optional(1, string()),
  parameters: optional(2, parametersReference),
})
const ingressClassSchema = kindSchema(`${NET}IngressClass`, { spec: struct(2, ingressClassSpec) })
export interface IngressClass extends ObjectOf<typeof ingressClassSchema> {}

function validateIngressClass(c: IngressClass): FieldError[] {
  const errors: FieldError[] = []
  const { controller = '', parameters } = c.spec
  if (controller === '') errors.push(requiredField('spec.controller'))
  else if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9/._~-]+$/.test(controller))
    errors.push(invalidField('spec.controller', controller, 'must be a domain-prefixed path (such as "acme.io/foo")'))
  if (parameters !== undefined) {
    if (parameters.kind === '') errors.push(requiredField('spec.parameters.kind', 'kind is required'))
    if (parameters.name === '') errors.push(requiredField('spec.parameters.name', 'name is required'))
    const scope = parameters.scope ?? ''
    if (scope !== 'Cluster' && scope !== 'Namespace')
      errors.push(
        scope === ''
          ? requiredField('spec.parameters.scope')
          : notSupportedField('spec.parameters.scope', scope, ['Cluster', 'Namespace']),
      )
    if (scope === 'Namespace' && (parameters.namespace ?? '') === '')
      errors.push(requiredField('spec.parameters.namespace', "`parameters.scope` is set to 'Namespace'"))
    if (scope === 'Cluster' && parameters.namespace !== undefined)
      errors.push(forbiddenField('spec.parameters.namespace', "`parameters.scope` is set to 'Cluster'"))
  }
  return errors
}

export const ingressClasses = defineKind<IngressClass>({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'IngressClass',
  plural: 'ingressclasses',
  singular: 'ingressclass',
  namespaced: false,
  schema: ingressClassSchema,
  storagePrefix: '/registry/ingressclasses',
  generation: true,
  unconditionalUpdate: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Controller', type: 'string' },
      { name: 'Parameters', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => {
      const p = o.spec.parameters
      return [
        o.metadata.name,
        o.spec.controller ?? '',
        p === undefined ? '<none>' : `${p.kind}${p.apiGroup === undefined ? '' : `.${p.apiGroup}`}/${p.name}`,
        ageCell(o.metadata.creationTimestamp, nowMs),
      ]
    },
  },
  setDefaults: (draft) => {
    if (draft.spec.parameters !== undefined) draft.spec.parameters.scope ??= 'Cluster'
  },
  validate: validateIngressClass,
  validateUpdate: (next, old) =>
    next.spec.controller === old.spec.controller
      ? []
      : [invalidField('spec.controller', next.spec.controller, 'field is immutable')],
})
