// Admin access to devices, which others use (KEP-5018), may be asked for in namespaces alone that an administrator marked for it.
import { forbiddenField, invalid } from '../../api/machinery/errors.ts'
import type { Namespace } from '../../api/core/namespace.ts'
import type { ResourceClaim, ResourceClaimTemplate } from '../../api/resource/resource.ts'
import type { AdmissionPlugin } from './admission.ts'
import { lookUp } from './lookup.ts'

const label = 'resource.kubernetes.io/admin-access'

export const deviceAdminAccess: AdmissionPlugin = {
  name: 'DeviceAdminAccess',
  handles: ({ operation, resource: { kind }, subresource }) =>
    operation === 'CREATE' &&
    subresource === '' &&
    kind.group === 'resource.k8s.io' &&
    (kind.plural === 'resourceclaims' || kind.plural === 'resourceclaimtemplates'),
  async validate({ object, name, namespace, resource: { kind } }, server) {
    const isClaim = kind.plural === 'resourceclaims'
    const spec = isClaim
      ? (object as unknown as ResourceClaim).spec
      : (object as unknown as ResourceClaimTemplate).spec.spec
    const at = `${isClaim ? 'spec' : 'spec.spec'}.devices.requests`
    const asking = (spec.devices.requests ?? []).flatMap(({ exactly }, i) =>
      exactly?.adminAccess === true ? [`${at}[${i}].exactly.adminAccess`] : [],
    )
    if (asking.length === 0) return
    const home = await lookUp<Namespace>(server, '', 'namespaces', '', namespace)
    if (home?.metadata.labels?.[label] === 'true') return
    const why = `admin access to devices requires the \`${label}: true\` label on the containing namespace`
    throw invalid(
      kind.group,
      kind.kind,
      name,
      asking.map((field) => forbiddenField(field, why)),
    )
  },
}
