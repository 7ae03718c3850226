// Routes to the pods of other nodes. A node on the same link is its pods' gateway; behind a router, whose routes do not know
// pods, packets travel in VXLAN (RFC 7348). Nothing is learned from the wire: every VTEP's address and MAC follow from what
// the Node says, so that no node needs to tell the others more.
import { createHash } from 'node:crypto'
import type { Log } from '../ports/log.ts'
import type { NetworkNode, PodNetwork } from '../ports/pod-network.ts'
import { writeCniConfig } from './cni/cni-config.ts'
import type { Instance } from './instance.ts'
import type { Shell } from './shell.ts'

/** Marks our routes; a number that no routing daemon in rt_protos has. */
export const routeProtocol = 143
const vxlanPort = 8472
/** Outer Ethernet, IP, UDP and VXLAN headers; 20 more where the outer packet is IPv6. */
const vxlanBytes = { 4: 50, 6: 70 } as const
const defaultMtu = 1500

export interface PodNetworkOptions {
  readonly instance: Instance
  readonly clusterCidrs: readonly string[]
  readonly shell: Shell
  readonly log: Log
  /** Writes the runtime's network configuration; false where the runtime is not ours. */
  readonly ownRuntime: boolean
}

/** How the machine reaches an address: on a link of its own, or through a router. */
export interface Path {
  readonly device: string
  readonly direct: boolean
}
const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4)
/** The address by which a node's tunnel end is known inside: the first of its share, which no pod gets. */
const innerAddress = (podCidr: string): string => podCidr.slice(0, podCidr.indexOf('/'))

/** A locally administered MAC that follows from the node's outer address. */
export function tunnelMac(address: string): string {
  const digest = createHash('sha256').update(address).digest()
  return [0x0a, ...digest.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}
/** 24 bits that all nodes of a cluster agree on, and clusters side by side do not. */
export const tunnelNumber = (clusterCidrs: readonly string[]): number =>
  (createHash('sha256').update(clusterCidrs.join()).digest().readUIntBE(0, 3) % 0xfffffe) + 1

export interface TunnelPlan {
  readonly localAddress: string
  /** This node's inner addresses. */
  readonly inner: readonly string[]
  readonly peers: readonly { readonly mac: string; readonly outer: string; readonly inner: readonly string[] }[]
}
export interface RoutePlan {
  readonly routes: readonly { readonly destination: string; readonly rest: string }[]
  readonly tunnel: TunnelPlan | undefined
}

/** What the kernel should hold. `pathTo` is undefined for addresses that cannot be reached. Pure. */
export function planRoutes(
  self: NetworkNode,
  nodes: readonly NetworkNode[],
  pathTo: (address: string) => Path | undefined,
  tunnelDevice: string,
): RoutePlan {
  const routes: { destination: string; rest: string }[] = []
  const peers: { mac: string; outer: string; inner: string[] }[] = []
  const ownInner = (family: 4 | 6) => self.podCidrs.map(innerAddress).find((a) => familyOf(a) === family)
  for (const node of nodes) {
    const outer = node.addresses[0]
    const mine = outer === undefined ? undefined : self.addresses.find((a) => familyOf(a) === familyOf(outer))
    const tunnelled: string[] = []
    for (const podCidr of node.podCidrs) {
      const family = familyOf(podCidr)
      const gateway = node.addresses.find((a) => familyOf(a) === family)
      const path = gateway === undefined ? undefined : pathTo(gateway)
      if (gateway !== undefined && path?.direct === true)
        routes.push({ destination: podCidr, rest: `via ${gateway} dev ${path.device}` })
      else if (outer !== undefined && mine !== undefined) tunnelled.push(podCidr)
    }
    if (outer === undefined || tunnelled.length === 0) continue
    peers.push({ mac: tunnelMac(outer), outer, inner: tunnelled.map(innerAddress) })
    for (const podCidr of tunnelled) {
      const source = ownInner(familyOf(podCidr))
      const from = source === undefined ? '' : ` src ${source}`
      routes.push({ destination: podCidr, rest: `via ${innerAddress(podCidr)} dev ${tunnelDevice} onlink${from}` })
    }
  }
  const localAddress = self.addresses[0]
  const tunnel =
    peers.length === 0 || localAddress === undefined
      ? undefined
      : { localAddress, inner: self.podCidrs.map(innerAddress), peers }
  return { routes, tunnel }
}

/** A shell script that takes away what is not in the plan and makes what is. */
export function routeScript(plan: RoutePlan, device: string, number: number, clusterCidrs: readonly string[]): string {
  const lines: string[] = ['set -e']
  const quiet = '2>/dev/null || true'
  const { tunnel } = plan
  if (tunnel === undefined) lines.push(`ip link delete ${device} ${quiet}`)
  else {
    const mac = tunnelMac(tunnel.localAddress)
    lines.push(
      `ip link show dev ${device} 2>/dev/null | grep -q ${mac} || { ip link delete ${device} ${quiet}; ip link add ${device} address ${mac} type vxlan id ${number} local ${tunnel.localAddress} dstport ${vxlanPort} nolearning; }`,
      `ip link set ${device} up`,
      ...tunnel.inner.map((a) => `ip address replace ${a}/${familyOf(a) === 4 ? 32 : 128} dev ${device}`),
      ...tunnel.peers.flatMap(({ mac: lladdr, outer, inner }) => [
        `bridge fdb replace ${lladdr} dev ${device} dst ${outer}`,
        ...inner.map((a) => `ip neigh replace ${a} lladdr ${lladdr} dev ${device} nud permanent`),
      ]),
    )
    const macs = tunnel.peers.map((peer) => peer.mac).join('|')
    lines.push(
      `bridge fdb show dev ${device} | grep -Ev '^(${macs}) ' | while read -r peer rest; do bridge fdb delete "$peer" dev ${device} ${quiet}; done`,
      `ip neigh show dev ${device} nud permanent | grep -Ev ' (${macs})( |$)' | while read -r inner rest; do ip neigh delete "$inner" dev ${device} ${quiet}; done`,
    )
  }
  for (const cidr of clusterCidrs) {
    const family = familyOf(cidr)
    const wanted = plan.routes.filter(({ destination }) => familyOf(destination) === family)
    const kept = wanted.map(({ destination }) => destination.replace(/\/(32|128)$/, '')).join('|')
    const stale = kept === '' ? 'cat' : `{ grep -Ev '^(${kept.replaceAll('.', '\\.')}) ' || true; }`
    lines.push(
      `ip -${family} route show root ${cidr} proto ${routeProtocol} | ${stale} | while read -r old rest; do ip -${family} route delete "$old" proto ${routeProtocol}; done`,
      ...wanted.map(
        ({ destination, rest }) => `ip -${family} route replace ${destination} ${rest} proto ${routeProtocol}`,
      ),
    )
  }
  return lines.join('\n')
}

/** Reads `ip -o route get`: one line an address. */
export function parsePath(line: string): Path | undefined {
  const device = / dev (\S+)/.exec(line)?.[1]
  return device === undefined || line.startsWith('local ') ? undefined : { device, direct: !/ via /.test(line) }
}

export const tunnelDeviceOf = (instance: Instance): string => `cxv${instance.id}`

export function hostPodNetwork(options: PodNetworkOptions): PodNetwork {
  const { instance, clusterCidrs, shell, log, ownRuntime } = options
  const device = tunnelDeviceOf(instance)
  const number = tunnelNumber(clusterCidrs)

  async function pathsTo(addresses: readonly string[]): Promise<ReadonlyMap<string, Path>> {
    const known = new Map<string, Path>()
    if (addresses.length === 0) return known
    // An address without a route is answered with an error; the others are still of use.
    const asked = addresses.map((a) => `echo "$(ip -o route get ${a} 2>/dev/null)"`).join('\n')
    const lines = (await shell.run('sh', ['-c', asked])).split('\n')
    addresses.forEach((address, i) => {
      const path = parsePath(lines[i] ?? '')
      if (path !== undefined) known.set(address, path)
    })
    return known
  }
  return {
    async apply(self, nodes) {
      const addresses = [...new Set(nodes.flatMap((node) => node.addresses))]
      const paths = await pathsTo(addresses)
      const plan = planRoutes(self, nodes, (address) => paths.get(address), device)
      if (ownRuntime) {
        const overhead = plan.tunnel === undefined ? 0 : vxlanBytes[familyOf(plan.tunnel.localAddress)]
        writeCniConfig(instance, { podCidrs: self.podCidrs, mtu: (await linkMtu(shell)) - overhead })
      }
      const forwarding = [
        'net.ipv4.ip_forward=1',
        ...(clusterCidrs.some((c) => familyOf(c) === 6) ? ['net.ipv6.conf.all.forwarding=1'] : []),
      ]
      const script = routeScript(plan, device, number, clusterCidrs)
      await shell.run('sh', ['-c', `${forwarding.map((s) => `sysctl -q -w ${s}`).join('\n')}\n${script}`])
      log.debug('routes to other nodes', { direct: plan.routes.length, tunnelled: plan.tunnel?.peers.length ?? 0 })
    },
    async clear() {
      await shell.run('sh', ['-c', routeScript({ routes: [], tunnel: undefined }, device, number, clusterCidrs)])
    },
  }
}

/** What fits into one packet on the way out; pods must not send more. */
export async function linkMtu(shell: Shell): Promise<number> {
  const script = `dev=$(ip -o route show default | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | head -1); [ -z "$dev" ] || ip -o link show dev "$dev"`
  return Number(/ mtu (\d+) /.exec(await shell.run('sh', ['-c', script]))?.[1] ?? defaultMtu)
}
