// Load balancer addresses that this node answers for: they stand on our own device (or the loopback device), and the kernel
// then answers ARP for them on every link. NDP is stricter: IPv6 addresses stand on the link of the default route itself,
// deprecated, so that nothing is sent from them.
import type { Shell } from './shell.ts'

export interface LinkAddresses {
  /** Makes the device carry exactly these of ours; IPv4 addresses of an earlier run are known by their label. */
  apply(addresses: readonly string[]): Promise<void>
}
export interface LinkAddressesOptions {
  readonly shell: Shell
  readonly device: string
  /** Marks our addresses; begins with the device's name and a colon, at most 15 characters. */
  readonly label: string
  /** Stands before every command (`ip netns exec NAME`). */
  readonly prefix?: readonly string[]
}

const isSix = (address: string) => address.includes(':')

interface Shown {
  readonly addr_info?: readonly { readonly local?: string; readonly label?: string }[]
}
/** Addresses with a label in the answer of `ip -j address show`. */
export function labelled(json: string, label: string): string[] {
  const shown = JSON.parse(json.trim() === '' ? '[]' : json) as readonly Shown[]
  return shown.flatMap(({ addr_info = [] }) =>
    addr_info.flatMap((entry) => (entry.local !== undefined && entry.label === label ? [entry.local] : [])),
  )
}

export function linkAddresses({ shell, device, label, prefix = [] }: LinkAddressesOptions): LinkAddresses {
  const run = (...command: readonly string[]) => {
    const [file = '', ...args] = [...prefix, ...command]
    return shell.run(file, args)
  }
  /** Undefined before the first run, when the kernel is asked what an earlier one left. */
  let present: Set<string> | undefined
  async function defaultLinks(): Promise<readonly string[]> {
    const text = (await run('ip', '-j', '-6', 'route', 'show', 'default')).trim()
    const routes = JSON.parse(text === '' ? '[]' : text) as readonly { readonly dev?: string }[]
    return [...new Set(routes.flatMap(({ dev }) => (dev === undefined ? [] : [dev])))]
  }
  async function add(address: string): Promise<void> {
    if (!isSix(address)) await run('ip', 'address', 'replace', `${address}/32`, 'dev', device, 'label', label)
    else
      for (const link of await defaultLinks())
        await run('ip', 'address', 'replace', `${address}/128`, 'dev', link, 'nodad', 'preferred_lft', '0')
  }
  async function remove(address: string): Promise<void> {
    if (!isSix(address)) await run('ip', 'address', 'delete', `${address}/32`, 'dev', device)
    else for (const link of await defaultLinks()) await run('ip', 'address', 'delete', `${address}/128`, 'dev', link)
  }
  return {
    async apply(addresses) {
      present ??= new Set(labelled(await run('ip', '-j', 'address', 'show', 'dev', device), label))
      const wanted = new Set(addresses)
      for (const address of present)
        if (!wanted.has(address)) {
          await remove(address)
          present.delete(address)
        }
      for (const address of wanted)
        if (!present.has(address)) {
          await add(address)
          present.add(address)
        }
    },
  }
}
