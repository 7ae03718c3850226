// What the parts of one kubelet share.
import type { Client } from '../client/client.ts'
import type { EventRecorder } from '../client/event-recorder.ts'
import type { Clock } from '../ports/clock.ts'
import type { ContainerRuntime, RuntimeFeatures } from '../ports/container-runtime.ts'
import type { Disk } from '../ports/disk.ts'
import type { Log } from '../ports/log.ts'
import type { MachineFacts, NodeHost } from '../ports/node-host.ts'
import type { Prober } from '../ports/prober.ts'
import type { Random } from '../ports/random.ts'
import type { BackOff } from './back-off.ts'
import type { KubeletConfig } from './config.ts'
import type { Cpus } from './cpus.ts'
import type { CredentialProviders } from './credential-providers.ts'
import type { Devices } from './devices.ts'
import type { DeviceClaims } from './device-claims.ts'
import type { DnsSettings } from './dns-config.ts'
import type { ServiceFacts } from './env.ts'
import type { Images } from './images.ts'
import type { NumaMemory } from './numa-memory.ts'
import type { ObjectCache } from './object-cache.ts'
import type { Probes } from './probes.ts'
import type { PulledImages } from './pulled-images.ts'
import type { Pending } from './resize.ts'
import type { RuntimeView } from './runtime-view.ts'
import type { StatusWriter } from './status-writer.ts'
import type { Tokens } from './tokens.ts'
import type { Topology } from './topology.ts'
import type { Pod, RecordPodEvent } from './types.ts'
import type { ClaimSource } from './volumes/volume.ts'

export interface KubeletContext {
  readonly client: Client
  readonly runtime: ContainerRuntime
  readonly disk: Disk
  readonly host: NodeHost
  readonly prober: Prober
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly nodeName: string
  readonly config: KubeletConfig
  readonly record: RecordPodEvent
  readonly view: RuntimeView
  readonly images: Images
  readonly pulledImages: PulledImages
  readonly probes: Probes
  readonly writer: StatusWriter
  readonly objects: ObjectCache
  readonly tokens: Tokens
  readonly claims: ClaimSource
  readonly credentialProviders: CredentialProviders
  readonly devices: Devices
  readonly deviceClaims: DeviceClaims
  readonly cpus: Cpus
  readonly memory: NumaMemory
  readonly topology: Topology
  /** Back-off of crashing containers, by UID, name and hash. */
  readonly backOff: BackOff
  readonly machine: MachineFacts
  /** 'containerd': stands before :// in container ids. */
  readonly runtimeName: string
  /** 'containerd://1.6.20' */
  readonly runtimeVersion: string
  readonly runtimeFeatures: RuntimeFeatures
  readonly recorder: EventRecorder
  readonly dns: DnsSettings
  /** /etc/hosts of the node. */
  readonly nodeHostsFile: string
  readonly hostIPs: () => readonly string[]
  /** What pods may use of the node in all. */
  readonly allocatable: () => Readonly<Record<string, string>>
  /** Every Service of the cluster; resolves when they are known. */
  readonly services: () => Promise<Iterable<ServiceFacts>>
  /** Why a pod cannot have the resources that it wishes now. */
  readonly resizePending: (pod: Pod) => Pending | undefined
  /** Resolves when no pod that has gone holds host ports that this one wants. */
  readonly portsFreed: (pod: Pod) => Promise<void>
  readonly userAgent: string
  /** The handler of a RuntimeClass, undefined when there is no such class. */
  readonly runtimeHandler: (runtimeClassName: string) => Promise<string | undefined>
}
