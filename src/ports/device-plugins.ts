// Device plugins as a port: programs on the node that offer devices (GPUs, network cards) over gRPC sockets
// (https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/, v1beta1).
import type { ContainerConfig, Mount } from './container-runtime.ts'

export interface DeviceRegistration {
  readonly version: string
  /** Name of the plugin's socket, beside the registration socket. */
  readonly endpoint: string
  /** vendor.example/name */
  readonly resourceName: string
  readonly preStartRequired: boolean
  readonly preferredAllocation: boolean
}
export interface PluginDevice {
  readonly id: string
  readonly healthy: boolean
  readonly numaNodes: readonly number[]
}
/** What a container gets with its devices. */
export interface DeviceAllocation {
  readonly env: Readonly<Record<string, string>>
  readonly mounts: readonly Pick<Mount, 'containerPath' | 'hostPath' | 'readonly'>[]
  readonly devices: ContainerConfig['devices']
  readonly annotations: Readonly<Record<string, string>>
  readonly cdiDevices: readonly string[]
}
export interface DevicePlugin {
  /** Every list is the whole; ends or throws when the plugin goes away. */
  watch(signal: AbortSignal): AsyncIterable<readonly PluginDevice[]>
  /** Which of `available` the plugin would rather give. */
  preferred(available: readonly string[], size: number): Promise<readonly string[]>
  allocate(ids: readonly string[]): Promise<DeviceAllocation>
  /** Before a container with these devices is started. */
  preStart(ids: readonly string[]): Promise<void>
  close(): void
}
export interface DevicePlugins {
  /** Takes registrations at `directory`/kubelet.sock; an error of `register` is what the plugin is answered. */
  serve(
    directory: string,
    register: (registration: DeviceRegistration) => Promise<void>,
  ): Promise<{ close(): Promise<void> }>
  /** Speaks to the plugin behind `directory`/`endpoint`. */
  connect(directory: string, endpoint: string): DevicePlugin
}
