// certificates.k8s.io/v1beta1: ClusterTrustBundle (KEP-3257) and PodCertificateRequest (KEP-4317). Off unless asked for.
import { ageCell } from '../machinery/age.ts'
import { type FieldError, forbiddenField, invalidField } from '../machinery/errors.ts'
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { bytes, defaulted, int32, map, object, optional, required, string, struct, time } from '../machinery/schema.ts'
import { inVersion, sameShape } from '../machinery/versions.ts'
import { conditions } from './parts.ts'

const P = 'io.k8s.api.certificates.v1beta1.'
const clusterTrustBundleSpec = object(`${P}ClusterTrustBundleSpec`, {
  signerName: optional(1, string()),
  trustBundle: required(2, string()),
})
const clusterTrustBundle = kindSchema(`${P}ClusterTrustBundle`, {
  spec: required(2, clusterTrustBundleSpec),
})
const podCertificateRequestSpec = object(`${P}PodCertificateRequestSpec`, {
  signerName: required(1, string()),
  podName: required(2, string()),
  podUID: required(3, string()),
  serviceAccountName: required(4, string()),
  serviceAccountUID: required(5, string()),
  nodeName: required(6, string()),
  nodeUID: required(7, string()),
  maxExpirationSeconds: defaulted(8, int32(), 86_400, { publishDefault: true }),
  pkixPublicKey: optional(9, bytes()),
  proofOfPossession: optional(10, bytes()),
  unverifiedUserAnnotations: optional(11, map(string())),
  stubPKCS10Request: required(12, bytes()),
})
const podCertificateRequestStatus = object(`${P}PodCertificateRequestStatus`, {
  conditions: optional(1, conditions()),
  certificateChain: optional(2, string()),
  notBefore: optional(4, time()),
  beginRefreshAt: optional(5, time()),
  notAfter: optional(6, time()),
})
const podCertificateRequest = kindSchema(`${P}PodCertificateRequest`, {
  spec: required(2, podCertificateRequestSpec),
  status: struct(3, podCertificateRequestStatus),
})

export interface ClusterTrustBundle extends ObjectOf<typeof clusterTrustBundle> {}
export interface PodCertificateRequest extends ObjectOf<typeof podCertificateRequest> {}

/** A signer's bundles bear its name; the others must not look as if they did. */
function validateBundleName({ metadata, spec }: ClusterTrustBundle): FieldError[] {
  const { name } = metadata
  const signer = spec.signerName ?? ''
  if (signer === '')
    return name.includes(':')
      ? [invalidField('metadata.name', name, 'ClusterTrustBundle without signer name must not have ":" in its name')]
      : []
  const prefix = `${signer.replaceAll('/', ':')}:`
  return name.startsWith(prefix)
    ? []
    : [
        invalidField(
          'metadata.name',
          name,
          `ClusterTrustBundle for signerName ${signer} must be named with prefix ${prefix}`,
        ),
      ]
}
function validateBundle({ spec }: ClusterTrustBundle): FieldError[] {
  const certificates = spec.trustBundle.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  return certificates.length > 0
    ? []
    : [invalidField('spec.trustBundle', '<value omitted>', 'at least one trust anchor must be provided')]
}
export const clusterTrustBundles = defineKind<ClusterTrustBundle>({
  group: 'certificates.k8s.io',
  version: 'v1beta1',
  kind: 'ClusterTrustBundle',
  plural: 'clustertrustbundles',
  singular: 'clustertrustbundle',
  namespaced: false,
  schema: clusterTrustBundle,
  storagePrefix: '/registry/clustertrustbundles',
  selectableFields: { 'spec.signerName': (o) => o.spec.signerName ?? '' },
  versions: [sameShape('certificates.k8s.io', 'v1alpha1', inVersion(clusterTrustBundle, P, 'v1alpha1'))],
  table: {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      { name: 'SignerName', type: 'string' },
      { name: 'Age', type: 'string' },
    ],
    row: (o, nowMs) => [o.metadata.name, o.spec.signerName ?? '', ageCell(o.metadata.creationTimestamp, nowMs)],
  },
  nameRule: 'path-segment',
  validate: (o) => [...validateBundleName(o), ...validateBundle(o)],
  validateUpdate: (next, old) => [
    ...validateBundle(next),
    ...(next.spec.signerName === old.spec.signerName
      ? []
      : [invalidField('spec.signerName', next.spec.signerName, 'field is immutable')]),
  ],
})

export const podCertificateRequests = defineKind<PodCertificateRequest>({
  group: 'certificates.k8s.io',
  version: 'v1beta1',
  kind: 'PodCertificateRequest',
  plural: 'podcertificaterequests',
  singular: 'podcertificaterequest',
  namespaced: true,
  schema: podCertificateRequest,
  storagePrefix: '/registry/podcertificaterequests',
  subresources: { status: true },
  selectableFields: {
    'spec.signerName': (o) => o.spec.signerName,
    'spec.podName': (o) => o.spec.podName,
    'spec.nodeName': (o) => o.spec.nodeName,
  },
  validateUpdate: (next, old) =>
    JSON.stringify(next.spec) === JSON.stringify(old.spec) ? [] : [forbiddenField('spec', 'field is immutable')],
})
