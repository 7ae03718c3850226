// The pod's sandbox as the runtime is asked for it.
import { NANO, parseQuantity, QuantityError } from '../api/machinery/quantity.ts'
import type { SandboxConfig } from '../ports/container-runtime.ts'
import type { PodDns } from './dns-config.ts'
import { podHostname } from './hosts-file.ts'
import { podLabels } from './labels.ts'
import { hasPrivileged, sandboxResources } from './resources.ts'
import { namespaceOptions, selinux, supplementalGroups, type UserNamespace } from './security.ts'
import { isHostNetwork, lastingContainers, namespaceOf, type Pod } from './types.ts'

export interface SandboxInputs {
  readonly attempt: number
  readonly logRoot: string
  readonly clusterDomain: string
  readonly dns: PodDns
  /** What the host calls the pod's cgroup. */
  readonly cgroupParent: string
  readonly userns: UserNamespace | undefined
}

export const podLogDirectory = (logRoot: string, pod: Pod): string =>
  `${logRoot}/${namespaceOf(pod)}_${pod.metadata.name}_${pod.metadata.uid}`

type PortMapping = SandboxConfig['portMappings'][number]
export function portMappings(pod: Pod): readonly PortMapping[] {
  if (isHostNetwork(pod)) return []
  const mappings: PortMapping[] = []
  for (const container of lastingContainers(pod.spec))
    for (const port of container.ports ?? [])
      if (port.hostPort)
        mappings.push({
          protocol: port.protocol === 'UDP' ? 'UDP' : port.protocol === 'SCTP' ? 'SCTP' : 'TCP',
          containerPort: port.containerPort,
          hostPort: port.hostPort,
          hostIP: port.hostIP ?? '',
        })
  return mappings
}

/** Whether the pod's traffic is to be shaped (https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/). */
export const isShaped = (pod: Pod): boolean =>
  !isHostNetwork(pod) &&
  ['ingress', 'egress'].some((way) => pod.metadata.annotations?.[`kubernetes.io/${way}-bandwidth`] !== undefined)

/**
 * What is wrong with the pod's bandwidth annotations. The runtime reads them again when it takes the network away: a
 * sandbox made with a text that is no rate could never be stopped.
 */
export function bandwidthComplaint(pod: Pod): string | undefined {
  for (const direction of ['ingress', 'egress']) {
    const annotation = `kubernetes.io/${direction}-bandwidth`
    const text = pod.metadata.annotations?.[annotation]
    if (text === undefined) continue
    try {
      const { nanos } = parseQuantity(text)
      if (nanos < 1000n * NANO) return `annotation ${annotation}: resource is unreasonably small (< 1kbit)`
      if (nanos > 10n ** 15n * NANO) return `annotation ${annotation}: resource is unreasonably large (> 1Pbit)`
    } catch (error) {
      if (!(error instanceof QuantityError)) throw error
      return `annotation ${annotation}: ${error.message}`
    }
  }
  return undefined
}

/** Hostname of the pod's UTS namespace: with setHostnameAsFQDN the whole name, which the kernel limits to 64. */
export function sandboxHostname(
  pod: Pod,
  clusterDomain: string,
): { readonly ok: true; readonly hostname: string } | { readonly ok: false; readonly message: string } {
  if (isHostNetwork(pod)) return { ok: true, hostname: '' }
  const { hostname, domain } = podHostname(pod, clusterDomain)
  if (!pod.spec.setHostnameAsFQDN || domain === '') return { ok: true, hostname }
  const fqdn = `${hostname}.${domain}`
  if (fqdn.length > 64)
    return {
      ok: false,
      message: `Failed to construct FQDN from Pod hostname and cluster domain, FQDN ${fqdn} is too long (64 characters is the max, ${fqdn.length} characters requested)`,
    }
  return { ok: true, hostname: fqdn }
}

export function sandboxConfig(pod: Pod, hostname: string, inputs: SandboxInputs): SandboxConfig {
  const context = pod.spec.securityContext
  const resources = sandboxResources(pod)
  const sysctls = Object.fromEntries((context?.sysctls ?? []).map((s) => [s.name.replaceAll('/', '.'), s.value]))
  return {
    metadata: {
      name: pod.metadata.name,
      uid: pod.metadata.uid,
      namespace: namespaceOf(pod),
      attempt: inputs.attempt,
    },
    hostname,
    logDirectory: podLogDirectory(inputs.logRoot, pod),
    dns: { servers: inputs.dns.servers, searches: inputs.dns.searches, options: inputs.dns.options },
    portMappings: portMappings(pod),
    labels: { ...pod.metadata.labels, ...podLabels(pod) },
    annotations: { ...pod.metadata.annotations },
    linux: {
      cgroupParent: inputs.cgroupParent,
      sysctls,
      resources,
      ...(pod.spec.overhead === undefined ? {} : { overhead: resources }),
      security: {
        namespaces: namespaceOptions(pod, inputs.userns),
        ...(context?.runAsUser === undefined ? {} : { runAsUser: context.runAsUser }),
        ...(context?.runAsGroup === undefined ? {} : { runAsGroup: context.runAsGroup }),
        supplementalGroups: supplementalGroups(pod),
        privileged: hasPrivileged(pod.spec),
        readonlyRootfs: false,
        seccomp: { type: 'RuntimeDefault' },
        ...selinux(context?.seLinuxOptions),
      },
    },
  }
}
