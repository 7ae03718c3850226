// networking.k8s.io/v1 NetworkPolicy: which traffic selected pods may send and receive.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, labelSelector, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  type Infer,
  int32,
  intOrString,
  object,
  optional,
  required,
  string,
  struct,
} from '../machinery/schema.ts'
import { formatLabelSelector } from '../machinery/labels.ts'
import {
  cidrContains,
  isValidPortName,
  isValidPortNumber,
  validateCidr,
  validateLabelSelector,
} from '../machinery/validation.ts'

const NET = 'io.k8s.api.networking.v1.'
export const ipBlock = object(`${NET}IPBlock`, {
  cidr: required(1, string()),
  except: optional(2, array(string(), { listType: 'atomic' })),
})
export const networkPolicyPeer = object(`${NET}NetworkPolicyPeer`, {
  podSelector: optional(1, labelSelector),
  namespaceSelector: optional(2, labelSelector),
  ipBlock: optional(3, ipBlock),
})
export interface NetworkPolicyPeer extends Infer<typeof networkPolicyPeer> {}
export const networkPolicyPort = object(`${NET}NetworkPolicyPort`, {
  protocol: optional(1, string()),
  port: optional(2, intOrString()),
  endPort: optional(3, int32()),
})
export interface NetworkPolicyPort extends Infer<typeof networkPolicyPort> {}
const ports = () => array(networkPolicyPort, { listType: 'atomic' })
const peers = () => array(networkPolicyPeer, { listType: 'atomic' })
export const networkPolicyIngressRule = object(`${NET}NetworkPolicyIngressRule`, {
  ports: optional(1, ports()),
  from: optional(2, peers()),
})
export const networkPolicyEgressRule = object(`${NET}NetworkPolicyEgressRule`, {
  ports: optional(1, ports()),
  to: optional(2, peers()),
})
export const networkPolicySpec = object(`${NET}NetworkPolicySpec`, {
  podSelector: struct(1, labelSelector),
  ingress: optional(2, array(networkPolicyIngressRule, { listType: 'atomic' })),
  egress: optional(3, array(networkPolicyEgressRule, { listType: 'atomic' })),
  policyTypes: optional(4, array(string(), { listType: 'atomic' })),
})
export interface NetworkPolicySpec extends Infer<typeof networkPolicySpec> {}
const schema = kindSchema(`${NET}NetworkPolicy`, { spec: struct(2, networkPolicySpec) })
export interface NetworkPolicy extends ObjectOf<typeof schema> {}

const protocols = ['SCTP', 'TCP', 'UDP']
function validatePort(port: NetworkPolicyPort, at: string): FieldError[] {
  const errors: FieldError[] = []
  if (port.protocol !== undefined && !protocols.includes(port.protocol))
    errors.push(notSupportedField(`${at}.protocol`, port.protocol, protocols))
  if (typeof port.port === 'number') {
    for (const message of isValidPortNumber(port.port)) errors.push(invalidField(`${at}.port`, port.port, message))
    if (port.endPort !== undefined) {
      if (port.endPort < port.port)
        errors.push(invalidField(`${at}.endPort`, port.endPort, 'must be greater than or equal to `port`'))
      for (const message of isValidPortNumber(port.endPort))
        errors.push(invalidField(`${at}.endPort`, port.endPort, message))
    }
  } else if (port.port !== undefined) {
    if (port.endPort !== undefined)
      errors.push(invalidField(`${at}.endPort`, port.endPort, 'may not be specified when `port` is non-numeric'))
    for (const message of isValidPortName(port.port)) errors.push(invalidField(`${at}.port`, port.port, message))
  } else if (port.endPort !== undefined)
    errors.push(invalidField(`${at}.endPort`, port.endPort, 'may not be specified when `port` is not specified'))
  return errors
}

function validatePeer(peer: NetworkPolicyPeer, at: string): FieldError[] {
  const errors: FieldError[] = []
  let kinds = 0
  if (peer.podSelector !== undefined) {
    kinds++
    errors.push(...validateLabelSelector(peer.podSelector, `${at}.podSelector`))
  }
  if (peer.namespaceSelector !== undefined) {
    kinds++
    errors.push(...validateLabelSelector(peer.namespaceSelector, `${at}.namespaceSelector`))
  }
  if (peer.ipBlock !== undefined) {
    const { cidr, except = [] } = peer.ipBlock
    if (kinds > 0) errors.push(forbiddenField(at, 'may not specify both ipBlock and another peer'))
    kinds++
    if (cidr === '') errors.push(requiredField(`${at}.ipBlock.cidr`))
    else {
      const bad = validateCidr(cidr, `${at}.ipBlock.cidr`)
      errors.push(...bad)
      except.forEach((e, i) => {
        const here = `${at}.ipBlock.except[${i}]`
        const badExcept = validateCidr(e, here)
        errors.push(...badExcept)
        if (bad.length === 0 && badExcept.length === 0 && !cidrContains(cidr, e))
          errors.push(invalidField(here, e, 'must be a strict subset of `cidr`'))
      })
    }
  }
  if (kinds === 0) errors.push(requiredField(at, 'must specify a peer'))
  return errors
}

function validate(policy: NetworkPolicy): FieldError[] {
  const errors: FieldError[] = [...validateLabelSelector(policy.spec.podSelector, 'spec.podSelector')]
  policy.spec.ingress?.forEach((rule, i) => {
    rule.ports?.forEach((p, j) => errors.push(...validatePort(p, `spec.ingress[${i}].ports[${j}]`)))
    rule.from?.forEach((p, j) => errors.push(...validatePeer(p, `spec.ingress[${i}].from[${j}]`)))
  })
  policy.spec.egress?.forEach((rule, i) => {
    rule.ports?.forEach((p, j) => errors.push(...validatePort(p, `spec.egress[${i}].ports[${j}]`)))
    rule.to?.forEach((p, j) => errors.push(...validatePeer(p, `spec.egress[${i}].to[${j}]`)))
  })
  const types = policy.spec.policyTypes ?? []
  if (types.length > 2)
    errors.push(invalidField('spec.policyTypes', types, 'may not specify more than two policyTypes'))
  else
    types.forEach((t, i) => {
      if (t !== 'Ingress' && t !== 'Egress')
        errors.push(notSupportedField(`spec.policyTypes[${i}]`, t, ['Egress', 'Ingress']))
    })
  return errors
}

export const networkPolicies = defineKind<NetworkPolicy>({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  singular: 'networkpolicy',
  shortNames: ['netpol'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/networkpolicies',
  generation: true,
  unconditionalUpdate: true,
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Pod-Selector', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [
      o.metadata.name,
      formatLabelSelector(o.spec.podSelector),
      ageCell(o.metadata.creationTimestamp, nowMs),
    ],
  },
  setDefaults: ({ spec }) => {
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])])
      for (const port of rule.ports ?? []) port.protocol ??= 'TCP'
    if ((spec.policyTypes ?? []).length === 0)
      spec.policyTypes = (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress']
  },
  validate,
})
