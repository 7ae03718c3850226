// Programs of the node that register by a socket in a folder, and what drivers of devices among them are asked
// (https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/, KEP-4381).

export interface NodePlugin {
  /** 'DRAPlugin', 'CSIPlugin', 'DevicePlugin' */
  readonly type: string
  /** A driver's name, dra.vendor.example */
  readonly name: string
  /** Where it is called: a socket. */
  readonly endpoint: string
  readonly versions: readonly string[]
}
export interface ClaimName {
  readonly uid: string
  readonly namespace: string
  readonly name: string
}
/** A device as the driver has made it ready. */
export interface PreparedDevice {
  /** Of the claim; none: of all. "request" or "request/alternative" */
  readonly requests: readonly string[]
  readonly pool: string
  readonly device: string
  /** vendor.example/class=device, in the order in which the runtime is to use them. */
  readonly cdiDevices: readonly string[]
  /** Of a device that several claims share; '' of others. */
  readonly shareId: string
}
export interface DeviceDriver {
  /** By UID of the claim: its devices, or what is wrong with it. Throws where the driver does not answer. */
  prepare(claims: readonly ClaimName[]): Promise<ReadonlyMap<string, readonly PreparedDevice[] | Error>>
  /** By UID of the claim: whether it is done, or what is wrong. */
  unprepare(claims: readonly ClaimName[]): Promise<ReadonlyMap<string, Error | undefined>>
  close(): void
}
export interface PluginListener {
  /** An error is what the plugin is answered, and it is asked again later. */
  register(plugin: NodePlugin): Promise<void>
  /** Its socket is gone. */
  gone(plugin: NodePlugin): void
}
export interface NodePlugins {
  /** Asks whoever has a socket in `directory`, now or later, who it is. */
  watch(directory: string, listener: PluginListener): Promise<{ close(): void }>
  /** Throws where the plugin speaks none of our versions. `onConnection` is told when the driver is reached, never
   * before this has returned, and when the connection to it breaks, until the driver is closed. */
  driver(plugin: NodePlugin, onConnection: (connected: boolean) => void): DeviceDriver
}
