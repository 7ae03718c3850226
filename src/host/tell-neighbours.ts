// An address that has moved to this node is told to the link. The kernel says so by itself when it asks for a neighbour from
// that address: everybody who hears the ARP request and knew the address learns where it is now (RFC 826), and so does the
// asked one by NDP (RFC 4861). So a neighbour is forgotten, and sent a datagram that makes the kernel ask for it.
import { createSocket } from 'node:dgram'
import { inIpRanges, parseIpRange } from '../api/machinery/ip-range.ts'
import { CommandError } from './command.ts'
import { parseIpList } from './ip-json.ts'
import type { Shell } from './shell.ts'

/** The discard service: nobody minds what arrives there. */
const discardPort = 9
/** An NDP request reaches one neighbour: so many are told. */
const maxNeighbours = 32
/** Who has just learned another address does not believe a second one within a second. */
const againMs = 1500

interface Route {
  readonly dst?: string
  readonly dev?: string
}
interface Neighbour {
  readonly dst?: string
  readonly dev?: string
  readonly lladdr?: string
  readonly state?: readonly string[]
}
export interface Told {
  readonly neighbour: string
  readonly device: string
}

/** Whom to send to, from what `ip -j route` and `ip -j neigh` answer: neighbours on links of default routes and of networks that
 * the address is in. One a link hears for all by ARP. Pure. */
export function whomToTell(
  address: string,
  routes: readonly Route[],
  neighbours: readonly Neighbour[],
): readonly Told[] {
  const onLink = routes.flatMap(({ dst = '', dev }) => {
    const range = dst === 'default' ? undefined : parseIpRange(dst)
    const leads = dst === 'default' || (range !== undefined && dst.includes('/') && inIpRanges([range], address))
    return leads && dev !== undefined ? [dev] : []
  })
  const out: Told[] = []
  for (const { dst, dev, lladdr, state = [] } of neighbours) {
    if (dst === undefined || dev === undefined || lladdr === undefined || !onLink.includes(dev)) continue
    if (state.includes('PERMANENT') || state.includes('NOARP')) continue
    if (!address.includes(':') && out.some(({ device }) => device === dev)) continue
    out.push({ neighbour: dst, device: dev })
  }
  return out.slice(0, maxNeighbours)
}

const send = (from: string, { neighbour, device }: Told): Promise<void> =>
  new Promise((done, fail) => {
    const socket = createSocket(from.includes(':') ? 'udp6' : 'udp4')
    const end = (error?: Error | null) => {
      socket.close()
      if (error instanceof Error) fail(error)
      else done()
    }
    socket.once('error', end)
    socket.bind({ address: from, exclusive: true }, () => {
      // A link-local neighbour needs a scope to be sent to.
      const to = neighbour.startsWith('fe80:') ? `${neighbour}%${device}` : neighbour
      socket.send('', discardPort, to, end)
    })
  })

/** Tells the neighbours of `address`, which this node has, twice. Rejects when a tool fails. */
export function tellNeighbours(shell: Shell): (address: string) => Promise<void> {
  const list = async <T>(address: string, ...what: readonly string[]): Promise<readonly T[]> => {
    return parseIpList<T>(await shell.run('ip', ['-j', address.includes(':') ? '-6' : '-4', ...what]))
  }
  const forget = async ({ neighbour, device }: Told) => {
    try {
      await shell.run('ip', ['neigh', 'delete', neighbour, 'dev', device])
    } catch (error) {
      // The kernel may have forgotten it meanwhile.
      if (!(error instanceof CommandError) || !error.stderr.includes('No such file or directory')) throw error
    }
  }
  const once = async (address: string) => {
    const routes = await list<Route>(address, 'route', 'show')
    const neighbours = await list<Neighbour>(address, 'neigh', 'show')
    for (const told of whomToTell(address, routes, neighbours)) {
      await forget(told)
      await send(address, told)
    }
  }
  return async (address) => {
    await once(address)
    await new Promise((done) => setTimeout(done, againMs).unref())
    await once(address)
  }
}
