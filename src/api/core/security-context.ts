// Who a pod and its containers run as and what they may do.
import { array, boolean, type Infer, int64, object, optional, required, string } from '../machinery/schema.ts'
import { CORE } from './references.ts'
import { atomicList, pointerText, text, texts } from './scalars.ts'

export const seLinuxOptions = object(`${CORE}SELinuxOptions`, {
  user: text(1),
  role: text(2),
  type: text(3),
  level: text(4),
})
export interface SELinuxOptions extends Infer<typeof seLinuxOptions> {}
export const windowsSecurityContextOptions = object(`${CORE}WindowsSecurityContextOptions`, {
  gmsaCredentialSpecName: pointerText(1),
  gmsaCredentialSpec: pointerText(2),
  runAsUserName: pointerText(3),
  hostProcess: optional(4, boolean()),
})
const profileFields = { type: required(1, string()), localhostProfile: pointerText(2) }
const profileUnion = { unions: [{ discriminator: 'type', fields: { localhostProfile: 'LocalhostProfile' } }] }
export const seccompProfile = object(`${CORE}SeccompProfile`, profileFields, profileUnion)
export interface SeccompProfile extends Infer<typeof seccompProfile> {}
export const appArmorProfile = object(`${CORE}AppArmorProfile`, profileFields, profileUnion)
export interface AppArmorProfile extends Infer<typeof appArmorProfile> {}
export const sysctl = object(`${CORE}Sysctl`, {
  name: required(1, string()),
  value: required(2, string(), { mayBeEmpty: true }),
})
export interface Sysctl extends Infer<typeof sysctl> {}
export const capabilities = object(`${CORE}Capabilities`, { add: texts(1), drop: texts(2) })
export interface Capabilities extends Infer<typeof capabilities> {}

export const podSecurityContext = object(`${CORE}PodSecurityContext`, {
  seLinuxOptions: optional(1, seLinuxOptions),
  runAsUser: optional(2, int64()),
  runAsNonRoot: optional(3, boolean()),
  supplementalGroups: optional(4, array(int64(), atomicList)),
  fsGroup: optional(5, int64()),
  runAsGroup: optional(6, int64()),
  sysctls: optional(7, array(sysctl, atomicList)),
  windowsOptions: optional(8, windowsSecurityContextOptions),
  fsGroupChangePolicy: pointerText(9),
  seccompProfile: optional(10, seccompProfile),
  appArmorProfile: optional(11, appArmorProfile),
  supplementalGroupsPolicy: pointerText(12),
  seLinuxChangePolicy: pointerText(13),
})
export interface PodSecurityContext extends Infer<typeof podSecurityContext> {}

export const securityContext = object(`${CORE}SecurityContext`, {
  capabilities: optional(1, capabilities),
  privileged: optional(2, boolean()),
  seLinuxOptions: optional(3, seLinuxOptions),
  runAsUser: optional(4, int64()),
  runAsNonRoot: optional(5, boolean()),
  readOnlyRootFilesystem: optional(6, boolean()),
  allowPrivilegeEscalation: optional(7, boolean()),
  runAsGroup: optional(8, int64()),
  procMount: pointerText(9),
  windowsOptions: optional(10, windowsSecurityContextOptions),
  seccompProfile: optional(11, seccompProfile),
  appArmorProfile: optional(12, appArmorProfile),
})
export interface SecurityContext extends Infer<typeof securityContext> {}
