// networking.k8s.io/v1 ServiceCIDR and IPAddress: the ranges of Service addresses, and who holds each one (KEP-1880).
import { ageCell } from '../machinery/age.ts'
import { type FieldError, invalidField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { condition, kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { array, object, optional, required, string, struct } from '../machinery/schema.ts'
import { canonicalIp, validateCidr } from '../machinery/validation.ts'
import { sameShape } from '../machinery/versions.ts'
import { semanticEqual } from '../machinery/equal.ts'

const serviceCidrSchemaFor = (prefix: string) =>
  kindSchema(`${prefix}ServiceCIDR`, {
    spec: struct(
      2,
      object(`${prefix}ServiceCIDRSpec`, { cidrs: optional(1, array(string(), { listType: 'atomic' })) }),
    ),
    status: struct(
      3,
      object(`${prefix}ServiceCIDRStatus`, {
        conditions: optional(
          1,
          array(condition, { listType: 'map', listMapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
        ),
      }),
    ),
  })
const ipAddressSchemaFor = (prefix: string) =>
  kindSchema(`${prefix}IPAddress`, {
    spec: struct(
      2,
      object(`${prefix}IPAddressSpec`, {
        parentRef: required(
          1,
          object(`${prefix}ParentReference`, {
            group: optional(1, string()),
            resource: required(2, string(), { pointer: true }),
            namespace: optional(3, string()),
            name: required(4, string(), { pointer: true }),
          }),
          { pointer: true },
        ),
      }),
      { listed: true },
    ),
  })
const V1 = 'io.k8s.api.networking.v1.'
const V1BETA1 = 'io.k8s.api.networking.v1beta1.'
const serviceCidrSchema = serviceCidrSchemaFor(V1)
const ipAddressSchema = ipAddressSchemaFor(V1)
export interface ServiceCidr extends ObjectOf<typeof serviceCidrSchema> {}
export interface IpAddress extends ObjectOf<typeof ipAddressSchema> {}
type ParentReference = IpAddress['spec']['parentRef']

function validateCidrs(o: ServiceCidr): FieldError[] {
  const cidrs = o.spec.cidrs ?? []
  if (cidrs.length === 0) return [requiredField('spec.cidrs', 'at least one CIDR required')]
  if (cidrs.length > 2) return [invalidField('spec', { ...o.spec }, 'may only hold up to 2 values')]
  const errors = cidrs.flatMap((c, i) => validateCidr(c, `spec.cidrs[${i}]`))
  if (errors.length === 0 && cidrs.length === 2 && cidrs[0]?.includes(':') === cidrs[1]?.includes(':'))
    errors.push(
      invalidField(
        'spec',
        { ...o.spec },
        'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64',
      ),
    )
  return errors
}

export const serviceCidrs = defineKind<ServiceCidr>({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'ServiceCIDR',
  plural: 'servicecidrs',
  singular: 'servicecidr',
  namespaced: false,
  schema: serviceCidrSchema,
  storagePrefix: '/registry/servicecidrs',
  subresources: { status: true },
  unconditionalUpdate: true,
  versions: [sameShape('networking.k8s.io', 'v1beta1', serviceCidrSchemaFor(V1BETA1))],
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'CIDRs', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [o.metadata.name, (o.spec.cidrs ?? []).join(','), ageCell(o.metadata.creationTimestamp, nowMs)],
  },
  validate: validateCidrs,
  validateUpdate: (next, old) =>
    semanticEqual(next.spec, old.spec) ? [] : [invalidField('spec.cidrs', next.spec.cidrs ?? [], 'field is immutable')],
})
export const ipAddresses = defineKind<IpAddress>({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'IPAddress',
  plural: 'ipaddresses',
  singular: 'ipaddress',
  shortNames: ['ip'],
  namespaced: false,
  nameRule: 'none',
  schema: ipAddressSchema,
  storagePrefix: '/registry/ipaddresses',
  unconditionalUpdate: true,
  versions: [sameShape('networking.k8s.io', 'v1beta1', ipAddressSchemaFor(V1BETA1))],
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'ParentRef', type: 'string' },
    ],
    row: (o) => {
      const p: ParentReference | undefined = o.spec.parentRef
      if (p === undefined) return [o.metadata.name, '']
      return [
        o.metadata.name,
        `${p.resource}${(p.group ?? '') === '' ? '' : `.${p.group}`}/${(p.namespace ?? '') === '' ? '' : `${p.namespace}/`}${p.name}`,
      ]
    },
  },
  validate: (o) => {
    const errors: FieldError[] = []
    if (canonicalIp(o.metadata.name) !== o.metadata.name)
      errors.push(invalidField('metadata.name', o.metadata.name, 'must be a valid IP address in canonical form'))
    // the schema asks for it; without one there is nothing more to say
    const p: ParentReference | undefined = o.spec.parentRef
    if (p?.resource === '') errors.push(requiredField('spec.parentRef.resource'))
    if (p?.name === '') errors.push(requiredField('spec.parentRef.name'))
    return errors
  },
  validateUpdate: (next, old) =>
    semanticEqual(next.spec, old.spec) ? [] : [invalidField('spec', { ...next.spec } as never, 'field is immutable')],
})
