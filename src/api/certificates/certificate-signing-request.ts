// certificates.k8s.io/v1 CertificateSigningRequest: asking the cluster's signers for a certificate.
import { ageCell } from '../machinery/age.ts'
import { humanDuration } from '../machinery/age.ts'
import { type FieldError, duplicateField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import {
  array,
  bytes,
  type Infer,
  int32,
  map,
  object,
  optional,
  required,
  string,
  struct,
  time,
} from '../machinery/schema.ts'
import { semanticEqual } from '../machinery/equal.ts'

const CERT = 'io.k8s.api.certificates.v1.'
export const keyUsages = [
  'signing',
  'digital signature',
  'content commitment',
  'key encipherment',
  'key agreement',
  'data encipherment',
  'cert sign',
  'crl sign',
  'encipher only',
  'decipher only',
  'any',
  'server auth',
  'client auth',
  'code signing',
  'email protection',
  's/mime',
  'ipsec end system',
  'ipsec tunnel',
  'ipsec user',
  'timestamping',
  'ocsp signing',
  'microsoft sgc',
  'netscape sgc',
] as const
export const csrCondition = object(`${CERT}CertificateSigningRequestCondition`, {
  type: required(1, string()),
  reason: optional(2, string()),
  message: optional(3, string()),
  lastUpdateTime: optional(4, time()),
  lastTransitionTime: optional(5, time()),
  status: required(6, string()),
})
export interface CsrCondition extends Infer<typeof csrCondition> {}
const csrSpec = object(`${CERT}CertificateSigningRequestSpec`, {
  request: required(1, bytes()),
  username: optional(2, string()),
  uid: optional(3, string()),
  groups: optional(4, array(string(), { listType: 'atomic' })),
  usages: optional(5, array(string(), { listType: 'atomic' })),
  extra: optional(6, map(array(string(), { wrapped: true }))),
  signerName: required(7, string()),
  expirationSeconds: optional(8, int32()),
})
const csrStatus = object(`${CERT}CertificateSigningRequestStatus`, {
  conditions: optional(1, array(csrCondition, { listType: 'map', listMapKeys: ['type'] })),
  certificate: optional(2, bytes()),
})
const schema = kindSchema(`${CERT}CertificateSigningRequest`, {
  spec: required(2, csrSpec),
  status: struct(3, csrStatus),
})
export interface CertificateSigningRequest extends ObjectOf<typeof schema> {}

function validate(csr: CertificateSigningRequest): FieldError[] {
  const errors: FieldError[] = []
  const { request, usages = [], signerName, expirationSeconds } = csr.spec
  let text = ''
  try {
    text = atob(request)
  } catch {
    errors.push(invalidField('spec.request', request, 'not base64'))
  }
  if (!/-----BEGIN (NEW )?CERTIFICATE REQUEST-----/.test(text))
    errors.push(invalidField('spec.request', request, 'PEM block type must be CERTIFICATE REQUEST'))
  if (usages.length === 0) errors.push(requiredField('spec.usages', 'usages must be provided'))
  usages.forEach((u, i) => {
    if (!keyUsages.some((k) => k === u)) errors.push(notSupportedField(`spec.usages[${i}]`, u, keyUsages))
    if (usages.indexOf(u) < i) errors.push(duplicateField(`spec.usages[${i}]`, u))
  })
  if (signerName === '') errors.push(requiredField('spec.signerName'))
  else if (
    !/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[^/\s]+(\/[^\s]*)?$/.test(signerName) ||
    !(signerName.split('/')[0] ?? '').includes('.')
  )
    errors.push(
      invalidField(
        'spec.signerName',
        signerName,
        'must be a fully qualified domain and path of the form "example.com/signer-name"',
      ),
    )
  if (expirationSeconds !== undefined && expirationSeconds < 600)
    errors.push(
      invalidField(
        'spec.expirationSeconds',
        expirationSeconds,
        'may not specify a duration less than 600 seconds (10 minutes)',
      ),
    )
  const types = (csr.status.conditions ?? []).map((c) => c.type)
  csr.status.conditions?.forEach((c, i) => {
    const at = `status.conditions[${i}]`
    if (c.type === '') errors.push(requiredField(`${at}.type`))
    if (types.indexOf(c.type) < i) errors.push(duplicateField(at, c.type))
    if (['Approved', 'Denied', 'Failed'].includes(c.type) && c.status !== 'True')
      errors.push(notSupportedField(`${at}.status`, c.status, ['True']))
  })
  if (types.includes('Approved') && types.includes('Denied'))
    errors.push(invalidField('status.conditions', 'Denied', 'Approved and Denied conditions are mutually exclusive'))
  return errors
}

function conditionCell(csr: CertificateSigningRequest): string {
  const types = (csr.status.conditions ?? []).map((c) => c.type)
  const out = []
  if (types.includes('Denied')) out.push('Denied')
  else if (types.includes('Approved')) out.push('Approved')
  else out.push('Pending')
  if (types.includes('Failed')) out.push('Failed')
  if ((csr.status.certificate ?? '') !== '') out.push('Issued')
  return out.join(',')
}

export const certificateSigningRequests = defineKind<CertificateSigningRequest>({
  group: 'certificates.k8s.io',
  version: 'v1',
  kind: 'CertificateSigningRequest',
  plural: 'certificatesigningrequests',
  singular: 'certificatesigningrequest',
  shortNames: ['csr'],
  namespaced: false,
  schema,
  storagePrefix: '/registry/certificatesigningrequests',
  subresources: { status: true, custom: ['approval'] },
  unconditionalUpdate: true,
  selectableFields: { 'spec.signerName': (c) => c.spec.signerName },
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'Age', type: 'string' },
      { name: 'SignerName', type: 'string' },
      { name: 'Requestor', type: 'string' },
      { name: 'RequestedDuration', type: 'string' },
      { name: 'Condition', type: 'string' },
    ],
    row: (c, nowMs) => [
      c.metadata.name,
      ageCell(c.metadata.creationTimestamp, nowMs),
      c.spec.signerName,
      c.spec.username ?? '',
      c.spec.expirationSeconds === undefined ? '<none>' : humanDuration(c.spec.expirationSeconds * 1000),
      conditionCell(c),
    ],
  },
  prepareForCreate: (draft) => {
    draft.status = {}
  },
  prepareForUpdate: (draft, old) => {
    draft.spec = structuredClone(old.spec) as typeof draft.spec
  },
  validate,
  validateUpdate: (next, old) =>
    semanticEqual(next.spec as never, old.spec as never) ? [] : [invalidField('spec', '', 'field is immutable')],
})
