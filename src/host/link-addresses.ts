// Load balancer addresses that this node answers for: they stand on our own device (or the loopback device), and the kernel
// then answers ARP for them on every link. NDP is stricter: IPv6 addresses stand on the links that lead to them,
// deprecated, so that nothing is sent from them. An address has a lifetime that we renew: the kernel takes away what a cox
// that has died held, by the time another node answers for it.
import type { Log } from '../ports/log.ts'
import { parseIpList } from './ip-json.ts'
import type { Shell } from './shell.ts'

export interface LinkAddresses {
  /** Makes the device carry exactly these of ours; IPv4 addresses of an earlier run are known by their label. */
  apply(addresses: readonly string[]): Promise<void>
}
export interface LinkAddressesOptions {
  readonly shell: Shell
  readonly log: Log
  readonly device: string
  /** Marks our addresses; begins with the device's name and a colon, at most 15 characters. */
  readonly label: string
  /** Stands before every command (`ip netns exec NAME`). */
  readonly prefix?: readonly string[]
  /** Tells the link's neighbours that an address is here now. */
  readonly tell?: (address: string) => Promise<void>
  /** How long an address stands without being renewed; default 45 s, as long as a node may be silent, and some. */
  readonly lifetimeSeconds?: number
}

const isSix = (address: string) => address.includes(':')
/** Renewals within a lifetime: what a cox that was killed held stays for most of a lifetime, no matter when it was killed, so that
 * it neither ends long before another node answers nor long after. */
const renewals = 9

interface Shown {
  readonly addr_info?: readonly { readonly local?: string; readonly label?: string }[]
}
/** Addresses with a label in the answer of `ip -j address show`. */
export function labelled(json: string, label: string): string[] {
  return parseIpList<Shown>(json).flatMap(({ addr_info = [] }) =>
    addr_info.flatMap((entry) => (entry.local !== undefined && entry.label === label ? [entry.local] : [])),
  )
}

export function linkAddresses(options: LinkAddressesOptions): LinkAddresses {
  const { shell, log, device, label, prefix = [], lifetimeSeconds = 45 } = options
  const program = (...command: readonly string[]): [string, readonly string[]] => {
    const [file = '', ...args] = [...prefix, ...command]
    return [file, args]
  }
  const run = (...command: readonly string[]) => shell.run(...program(...command))
  /** Undefined before the first run, when the kernel is asked what an earlier one left. */
  let present: Set<string> | undefined
  let timer: NodeJS.Timeout | undefined
  let queue: Promise<void> = Promise.resolve()
  /** Where neighbours may ask for an address: the links of its own network, and that of the default route. */
  async function linksTo(address: string): Promise<readonly string[]> {
    const shown = await run('ip', '-j', '-6', 'route', 'show', 'match', address)
    const links = parseIpList<{ readonly dev?: string }>(shown).flatMap(({ dev }) => (dev === undefined ? [] : [dev]))
    if (links.length === 0)
      log.warn('no IPv6 route leads to a load balancer address: no link announces it', { address })
    return [...new Set(links)]
  }
  const valid = ['valid_lft', String(lifetimeSeconds), 'preferred_lft']
  /** IPv4 addresses by one program: there may be many, and they are renewed for ever. */
  async function add(addresses: readonly string[]): Promise<void> {
    const four = addresses.filter((address) => !isSix(address))
    const own = ['dev', device, 'label', label, ...valid, String(lifetimeSeconds)]
    const lines = four.map((address) => ['address', 'replace', `${address}/32`, ...own].join(' '))
    if (lines.length > 0) await shell.run(...program('ip', '-batch', '-'), `${lines.join('\n')}\n`)
    for (const address of addresses.filter(isSix))
      for (const link of await linksTo(address))
        await run('ip', 'address', 'replace', `${address}/128`, 'dev', link, 'nodad', ...valid, '0')
  }
  /** One that has had its time is gone already. */
  async function remove(address: string): Promise<void> {
    if (!isSix(address)) await run('ip', 'address', 'flush', 'dev', device, 'to', `${address}/32`)
    else
      for (const link of await linksTo(address))
        await run('ip', '-6', 'address', 'flush', 'dev', link, 'to', `${address}/128`)
  }
  const complain = (what: string) => (error: unknown) =>
    log.warn(what, { error: error instanceof Error ? error.message : String(error) })
  const tellOf = (address: string) =>
    void options.tell?.(address).catch(complain('neighbours were not told of a load balancer address'))
  const renew = () => add([...(present ?? [])])
  /** A timer that runs is left alone: changes that follow each other closely must not put the renewal off. */
  function schedule(): void {
    const needed = (present?.size ?? 0) > 0
    if (needed === (timer !== undefined)) return
    clearInterval(timer)
    timer = undefined
    if (!needed) return
    const renewing = () => {
      queue = queue.then(renew).catch(complain('load balancer addresses were not renewed'))
    }
    timer = setInterval(renewing, (lifetimeSeconds / renewals) * 1000)
    timer.unref()
  }
  async function change(addresses: readonly string[]): Promise<void> {
    const wanted = new Set(addresses)
    if (present === undefined) {
      present = new Set(labelled(await run('ip', '-j', 'address', 'show', 'dev', device), label))
      // What an earlier run held has little time left, and while there was none another node may have told neighbours of itself.
      const kept = [...present].filter((address) => wanted.has(address))
      await add(kept)
      kept.forEach(tellOf)
    }
    for (const address of present)
      if (!wanted.has(address)) {
        await remove(address)
        present.delete(address)
      }
    for (const address of wanted)
      if (!present.has(address)) {
        await add([address])
        present.add(address)
        tellOf(address)
      }
    schedule()
  }
  return {
    apply(addresses) {
      const result = queue.then(() => change(addresses))
      queue = result.catch(() => {
        // The caller hears of it.
      })
      return result
    },
  }
}
