// The machine as the cluster's ports. The control plane's are there at once; the node's need a container runtime, which
// starts while the API already answers.
import { join } from 'node:path'
import type { ContainerRuntime } from '../ports/container-runtime.ts'
import type { EdgeCertificate } from '../ports/http-edge.ts'
import type { Log } from '../ports/log.ts'
import type { ClusterPorts, NodePorts } from '../ports/ports.ts'
import { createCgroups, findLayout } from './cgroups.ts'
import { cniFolders, hasCniConfig, writeCniConfig } from './cni/cni-config.ts'
import { withHostPorts } from './cni/host-port-runtime.ts'
import { createPodRules } from './cni/pod-rules.ts'
import { type Containerd, startContainerd } from './containerd/containerd.ts'
import { type DebrisSweeper, sweepDebris } from './containerd/debris.ts'
import { hugetlbMount, type OciRuntimeChoice } from './containerd/oci-runtimes.ts'
import { containerdExtras } from './containerd/import.ts'
import { createCriRuntime, type CriRuntime } from './cri/runtime.ts'
import { withOwner } from './cri/owned.ts'
import { run } from './command.ts'
import { hostDevicePlugins } from './device-plugins.ts'
import { createDisk } from './disk.ts'
import { hostDnsSockets } from './dns-sockets.ts'
import { createHttpEdge } from './http-edge.ts'
import { type HostIdentity, openIdentity } from './identity.ts'
import { announcedOn, type Instance } from './instance.ts'
import { linkAddresses } from './link-addresses.ts'
import { nftablesDataplane } from './nftables/dataplane.ts'
import { createNodePlugins } from './node-plugins.ts'
import { createNodeHost } from './node-host.ts'
import { createOutgoing, type OutgoingOptions } from './outgoing.ts'
import { hostPodNetwork, linkMtu } from './pod-network.ts'
import { hostPodResources } from './pod-resources.ts'
import { hostProber } from './prober.ts'
import { cniBinDir } from './requirements.ts'
import { createShell, type Shell } from './shell.ts'
import { systemClock, systemRandom } from './system.ts'
import { tellNeighbours } from './tell-neighbours.ts'

export interface HostPortsOptions {
  readonly instance: Instance
  readonly log: Log
}
export interface HostClusterOptions extends HostPortsOptions, OutgoingOptions {}
export interface HostClusterPorts extends ClusterPorts {
  readonly identity: HostIdentity
}

/** The control plane's ports. Throws where the keys in the data directory are unreadable. */
export function hostPorts(options: HostClusterOptions): HostClusterPorts {
  return {
    clock: systemClock,
    random: systemRandom,
    log: options.log,
    identity: openIdentity({ directory: join(options.instance.dataDir, 'pki') }),
    outgoing: createOutgoing(options),
    // Writers that the store answers in one turn of the event loop make one watch frame.
    defer: (run) => void setImmediate(run),
  }
}

/** The cluster's addresses as a node needs them. */
export interface HostNetwork {
  readonly clusterCidrs: readonly string[]
  readonly dnsAddresses: readonly string[]
  /** This node's share where it is known beforehand; else the network is ready when the API has told it. */
  readonly nodeCidrs?: readonly string[]
}
export interface HostNodeOptions extends HostPortsOptions {
  readonly network: HostNetwork
  /** 'containerd' for one of our own, or the address of a CRI socket. */
  readonly runtime: 'containerd' | `unix://${string}`
  /** What a containerd of our own makes containers with. */
  readonly ociRuntime: OciRuntimeChoice
  /** Certificate of the ingress for names that no Ingress has one for. */
  readonly edgeCertificate?: () => EdgeCertificate
  /** The node's address, when the one on the default route is not meant. */
  readonly address?: string
}
export interface HostNode {
  readonly ports: NodePorts
  /** Leaves everything running for the next start. */
  release(): void
}

/** Starts or adopts the container runtime and makes the node's network. */
export async function startHostNode(options: HostNodeOptions): Promise<HostNode> {
  const { instance, log, network } = options
  const { clusterCidrs } = network
  const shell = createShell()
  const device = startNetworkDevice(shell, instance, network.dnsAddresses)
  const { runtime: everything, containerd, debris } = await startRuntime(options, shell)
  const runtime = withOwner(everything, instance.id)
  const rules = createPodRules({
    instance,
    clusterCidrs,
    command: (file, args, input) => shell.run(file, args, input),
  })
  const outgoing = createOutgoing()
  const sandboxes = await runtime.listPodSandboxes()
  await Promise.all([rules.start(new Set(sandboxes.map(({ id }) => id))), device])
  return {
    ports: {
      runtime: withHostPorts<ContainerRuntime>(runtime, rules),
      disk: createDisk(shell),
      host: createNodeHost({
        cgroups: createCgroups(instance.cgroupRoot, findLayout(hugetlbMount(instance))),
        ...(options.address === undefined ? {} : { address: options.address }),
      }),
      prober: hostProber,
      devicePlugins: hostDevicePlugins,
      nodePlugins: createNodePlugins({ clock: systemClock, log }),
      podResources: hostPodResources,
      programs: { run },
      dataplane: nftablesDataplane({
        table: instance.serviceTable,
        log,
        shell,
        links: linkAddresses({ shell, log, tell: tellNeighbours(shell), ...announcedOn(instance) }),
      }),
      dnsSockets: hostDnsSockets,
      edge: createHttpEdge({
        log,
        ...(options.edgeCertificate === undefined ? {} : { fallback: options.edgeCertificate }),
      }),
      outgoing,
      podNetwork: hostPodNetwork({ instance, clusterCidrs, shell, log, ownRuntime: containerd !== undefined }),
    },
    release() {
      containerd?.release()
      debris?.close()
      runtime.close()
      outgoing.close()
      shell.close()
    },
  }
}

async function startRuntime(
  options: HostNodeOptions,
  shell: Shell,
): Promise<{ readonly runtime: CriRuntime; readonly containerd?: Containerd; readonly debris?: DebrisSweeper }> {
  const { instance, log } = options
  if (options.runtime !== 'containerd') {
    const runtime = createCriRuntime({ address: options.runtime, log })
    await runtime.version()
    return { runtime }
  }
  // The configuration stands before containerd looks for it: its network is ready when it is. One that stands from an
  // earlier run is as the API said then.
  const { nodeCidrs } = options.network
  if (nodeCidrs !== undefined && !hasCniConfig(instance))
    writeCniConfig(instance, { podCidrs: nodeCidrs, mtu: await linkMtu(shell) })
  const debris: DebrisSweeper = sweepDebris({ instance, shell, log, startedAtMs: () => containerd.startedAtMs() })
  const containerd = await startContainerd({
    instance,
    log,
    ociRuntime: options.ociRuntime,
    onRestart: () => debris.soon(),
    cniBinDir: cniBinDir() ?? '/usr/lib/cni',
    cniConfDir: cniFolders(instance).confDir,
  })
  debris.soon()
  const extras = containerdExtras(containerd.socket)
  const runtime = createCriRuntime({ address: containerd.address, log, extras })
  return { runtime: withSweeping(runtime, debris), containerd, debris }
}

/** Looks for what is left when a sandbox was removed. */
const withSweeping = (runtime: CriRuntime, debris: DebrisSweeper): CriRuntime => ({
  ...runtime,
  async removePodSandbox(id) {
    await runtime.removePodSandbox(id)
    debris.soon()
  },
})

/** A device of our own that carries the DNS addresses; where the kernel has no dummy devices, the loopback device does. */
async function startNetworkDevice(shell: Shell, { device }: Instance, addresses: readonly string[]): Promise<void> {
  const script = `
    ip link show dev ${device} >/dev/null 2>&1 || ip link add ${device} type dummy 2>/dev/null
    if ip link show dev ${device} >/dev/null 2>&1; then on=${device}; ip link set ${device} up; else on=lo; fi
    ${addresses.map((address) => `ip address replace ${address}/${address.includes(':') ? 128 : 32} dev $on`).join('\n')}`
  await shell.run('sh', ['-c', script])
}
