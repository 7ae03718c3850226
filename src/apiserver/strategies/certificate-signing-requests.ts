// Whoever creates a signing request is its requestor: the server says who that is, not the request.
import type { CertificateSigningRequest } from '../../api/certificates/certificate-signing-request.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import type { StorageStrategy } from '../strategies.ts'

export const certificateSigningRequestStrategy: StorageStrategy = {
  group: 'certificates.k8s.io',
  plural: 'certificatesigningrequests',
  claim(draft, user) {
    const { spec } = draft as unknown as Draft<CertificateSigningRequest>
    spec.username = user.name
    spec.groups = [...user.groups]
    if (user.uid === undefined) delete spec.uid
    else spec.uid = user.uid
    if (user.extra === undefined) delete spec.extra
    else spec.extra = Object.fromEntries(Object.entries(user.extra).map(([key, values]) => [key, [...values]]))
  },
}
