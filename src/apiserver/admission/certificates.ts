// Admission of certificate signing requests: who approves or signs for a signer must be allowed to, and nobody becomes a
// member of system:masters through the API.
import type { CertificateSigningRequest } from '../../api/certificates/certificate-signing-request.ts'
import { equal } from '../../api/machinery/equal.ts'
import { forbidden } from '../../api/machinery/errors.ts'
import type { ServerContext } from '../context.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'

const group = 'certificates.k8s.io'
const isRequest = ({ resource }: AdmissionRequest) =>
  resource.kind.group === group && resource.kind.plural === 'certificatesigningrequests'
const resource = { group, resource: 'certificatesigningrequests' }

async function mayFor(
  request: AdmissionRequest,
  server: ServerContext,
  verb: string,
  signer: string,
): Promise<boolean> {
  // A rule may be for one signer, or for a whole domain ("example.com/*").
  for (const name of [signer, `${signer.slice(0, signer.indexOf('/'))}/*`]) {
    const { decision } = await server.authorizer.authorize({
      user: request.user,
      verb,
      isResource: true,
      group,
      version: '*',
      resource: 'signers',
      subresource: '',
      namespace: '',
      name,
      path: '',
    })
    if (decision === 'allow') return true
  }
  return false
}

/** CertificateApproval. */
export const certificateApproval: AdmissionPlugin = {
  name: 'CertificateApproval',
  handles: (request) => request.operation === 'UPDATE' && isRequest(request) && request.subresource === 'approval',
  async validate(request, server) {
    const { signerName } = (request.oldObject as unknown as CertificateSigningRequest).spec
    if (await mayFor(request, server, 'approve', signerName)) return
    throw forbidden(
      resource,
      request.name,
      `user not permitted to approve requests with signerName ${JSON.stringify(signerName)}`,
    )
  },
}

/** CertificateSigning. */
export const certificateSigning: AdmissionPlugin = {
  name: 'CertificateSigning',
  handles: (request) => request.operation === 'UPDATE' && isRequest(request) && request.subresource === 'status',
  async validate(request, server) {
    const before = request.oldObject as unknown as CertificateSigningRequest
    const after = request.object as unknown as CertificateSigningRequest
    const failed = (csr: CertificateSigningRequest) => (csr.status.conditions ?? []).some((c) => c.type === 'Failed')
    if (equal(before.status.certificate, after.status.certificate) && failed(before) === failed(after)) return
    const { signerName } = before.spec
    if (await mayFor(request, server, 'sign', signerName)) return
    throw forbidden(
      resource,
      request.name,
      `user not permitted to sign requests with signerName ${JSON.stringify(signerName)}`,
    )
  },
}

/** CertificateSubjectRestriction. */
export const certificateSubjectRestriction: AdmissionPlugin = {
  name: 'CertificateSubjectRestriction',
  handles: (request) => request.operation === 'CREATE' && isRequest(request) && request.subresource === '',
  async validate(request, server) {
    const { signerName, request: encoded } = (request.object as unknown as CertificateSigningRequest).spec
    if (signerName !== 'kubernetes.io/kube-apiserver-client') return
    const { organizations } = await server.identity.ca.inspect(atob(encoded))
    if (organizations.includes('system:masters')) {
      throw forbidden(
        resource,
        request.name,
        'use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed',
      )
    }
  },
}
