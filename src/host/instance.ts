// What one data directory calls its own on the machine. Every name comes from the directory's real path, so that several
// clusters stand side by side, and whoever cleans up knows what is whose.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

export interface Instance {
  /** Eight hexadecimal digits. */
  readonly id: string
  readonly dataDir: string
  /** The network device that carries our own addresses; at most 15 characters. */
  readonly device: string
  /** Name of the network in CNI. */
  readonly network: string
  /** Below each controller's mount point. */
  readonly cgroupRoot: string
  /** nftables tables: service rules, and the pods' own (masquerade, host ports). */
  readonly serviceTable: string
  readonly podTable: string
  readonly containerdSocket: string
}

/** `name` tells nodes of one directory apart; the first has none. */
export function instanceOf(dataDir: string, name = ''): Instance {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const real = realpathSync(dataDir)
  const id = createHash('sha256').update(`${real}\0${name}`).digest('hex').slice(0, 8)
  const folder = name === '' ? real : join(real, 'nodes', name)
  const socket = join(folder, 'containerd', 'containerd.sock')
  return {
    id,
    dataDir: folder,
    device: `cox${id}`,
    network: `coxswain-${id}`,
    cgroupRoot: `/coxswain-${id}`,
    serviceTable: `cox_${id}`,
    podTable: `cox_${id}_pods`,
    // A unix socket's path has 107 bytes; containerd adds ".ttrpc" to it.
    containerdSocket: Buffer.byteLength(socket) <= 100 ? socket : `/run/coxswain-${id}.sock`,
  }
}

/** Where load balancer addresses stand: on our device, or on the loopback device where the kernel has no dummy devices; and
 * the label by which they are known. */
export function announcedOn({ device, id }: Instance): { readonly device: string; readonly label: string } {
  const own = existsSync(`/sys/class/net/${device}`)
  return own ? { device, label: `${device}:lb` } : { device: 'lo', label: `lo:${id}` }
}
