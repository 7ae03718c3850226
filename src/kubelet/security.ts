// Security context of a container as the runtime wants it: the container's own word, else the pod's, else the image's.
import type { ContainerConfig, NamespaceOptions, RuntimeImage, SecurityProfile } from '../ports/container-runtime.ts'
import { type AnyContainer, isHostNetwork, type Pod, podTitle } from './types.ts'

type LinuxSecurity = ContainerConfig['linux']['security']
/** Of seccomp and of AppArmor alike. */
interface Profile {
  readonly type: string
  readonly localhostProfile?: string | undefined
}
type Selinux = NonNullable<NonNullable<Pod['spec']['securityContext']>['seLinuxOptions']>

const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']

/** Id mappings of a pod with hostUsers: false. */
export type UserNamespace = NonNullable<NamespaceOptions['userns']>

/** Namespaces of the sandbox and of its app containers; `targetId` joins one container's processes (kubectl debug). */
export function namespaceOptions(pod: Pod, userns: UserNamespace | undefined, targetId?: string): NamespaceOptions {
  const { spec } = pod
  const pid = spec.hostPID
    ? 'node'
    : spec.shareProcessNamespace
      ? 'pod'
      : targetId === undefined
        ? 'container'
        : 'target'
  return {
    network: isHostNetwork(pod) ? 'node' : 'pod',
    ipc: spec.hostIPC ? 'node' : 'pod',
    pid,
    ...(pid === 'target' && targetId !== undefined ? { targetId } : {}),
    ...(userns === undefined ? {} : { userns }),
  }
}

function profile(wanted: Profile | undefined, directory: string): SecurityProfile | undefined {
  if (wanted === undefined) return undefined
  if (wanted.type === 'Localhost')
    return { type: 'Localhost', localhostRef: `${directory}${wanted.localhostProfile ?? ''}` }
  return { type: wanted.type === 'RuntimeDefault' ? 'RuntimeDefault' : 'Unconfined' }
}
export const selinux = (options: Selinux | undefined) =>
  options === undefined
    ? {}
    : {
        selinux: {
          user: options.user ?? '',
          role: options.role ?? '',
          type: options.type ?? '',
          level: options.level ?? '',
        },
      }

/** Groups of every process of the pod. */
export function supplementalGroups(pod: Pod, volumeGroups: readonly number[] = []): readonly number[] {
  const context = pod.spec.securityContext
  const fsGroup = context?.fsGroup === undefined ? [] : [context.fsGroup]
  return [...new Set([...(context?.supplementalGroups ?? []), ...fsGroup, ...volumeGroups])]
}

export type SecurityResult =
  | { readonly ok: true; readonly security: LinuxSecurity }
  | { readonly ok: false; readonly message: string }

export interface SecurityInputs {
  readonly image: RuntimeImage
  readonly seccompDirectory: string
  readonly seccompDefault: boolean
  readonly userns: UserNamespace | undefined
  readonly targetId: string | undefined
  readonly volumeGroups: readonly number[]
}

/** Which user the image or the pod chose, or why it may not be root. */
function chooseUser(
  pod: Pod,
  container: AnyContainer,
  image: RuntimeImage,
): { readonly runAsUser?: number; readonly runAsUsername?: string } | { readonly error: string } {
  const wanted = container.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser
  const nonRoot = container.securityContext?.runAsNonRoot ?? pod.spec.securityContext?.runAsNonRoot
  const where = `(pod: "${podTitle(pod)}", container: ${container.name})`
  if (wanted !== undefined) {
    if (nonRoot && wanted === 0) return { error: `container's runAsUser breaks non-root policy ${where}` }
    return { runAsUser: wanted }
  }
  if (nonRoot) {
    if (image.uid === 0 || (image.uid === undefined && image.username === ''))
      return { error: `container has runAsNonRoot and image will run as root ${where}` }
    if (image.uid === undefined)
      return {
        error: `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`,
      }
  }
  if (image.uid !== undefined) return { runAsUser: image.uid }
  return image.username === '' ? { runAsUser: 0 } : { runAsUsername: image.username }
}

export function containerSecurity(pod: Pod, container: AnyContainer, inputs: SecurityInputs): SecurityResult {
  const own = container.securityContext
  const shared = pod.spec.securityContext
  const user = chooseUser(pod, container, inputs.image)
  if ('error' in user) return { ok: false, message: user.error }
  const privileged = own?.privileged === true
  const unmasked = privileged || own?.procMount === 'Unmasked'
  const runAsGroup = own?.runAsGroup ?? shared?.runAsGroup
  const seccomp =
    profile(own?.seccompProfile ?? shared?.seccompProfile, `${inputs.seccompDirectory}/`) ??
    ({ type: inputs.seccompDefault && !privileged ? 'RuntimeDefault' : 'Unconfined' } as const)
  const apparmor = profile(own?.appArmorProfile ?? shared?.appArmorProfile, '')
  const policy = shared?.supplementalGroupsPolicy
  return {
    ok: true,
    security: {
      ...(own?.capabilities === undefined
        ? {}
        : { capabilities: { add: own.capabilities.add ?? [], drop: own.capabilities.drop ?? [] } }),
      privileged,
      namespaces: namespaceOptions(pod, inputs.userns, inputs.targetId),
      ...user,
      ...(runAsGroup === undefined ? {} : { runAsGroup }),
      readonlyRootfs: own?.readOnlyRootFilesystem === true,
      supplementalGroups: supplementalGroups(pod, inputs.volumeGroups),
      ...(policy === 'Strict' || policy === 'Merge' ? { supplementalGroupsPolicy: policy } : {}),
      noNewPrivs: own?.allowPrivilegeEscalation === false,
      maskedPaths: unmasked ? [] : maskedPaths,
      readonlyPaths: unmasked ? [] : readonlyPaths,
      seccomp: privileged ? { type: 'Unconfined' } : seccomp,
      ...(apparmor === undefined ? {} : { apparmor }),
      ...selinux(own?.seLinuxOptions ?? shared?.seLinuxOptions),
    },
  }
}
