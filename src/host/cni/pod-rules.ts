// The pods' own packet rules in one nftables table: masquerade on the way out, and host ports. Host ports are kept in a
// file beside, so that a restarted cox knows them; the table is replaced as a whole, in one transaction.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SandboxConfig } from '../../ports/container-runtime.ts'
import { run } from '../command.ts'
import type { Instance } from '../instance.ts'

export interface HostPort {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP'
  readonly hostIP: string
  readonly hostPort: number
  readonly podIP: string
  readonly containerPort: number
}
export interface PodRules {
  /** Makes the kernel hold the table; forgets host ports of sandboxes that are not in `sandboxIds`. */
  start(sandboxIds: ReadonlySet<string>): Promise<void>
  add(sandboxId: string, ports: readonly HostPort[]): Promise<void>
  remove(sandboxId: string): Promise<void>
  /** Takes the table away. */
  clear(): Promise<void>
}
export interface PodRulesOptions {
  readonly instance: Instance
  /** CIDRs of all pods of the cluster: what stays inside is not masqueraded. */
  readonly clusterCidrs: readonly string[]
  /** Runs a program; the tests listen in. */
  readonly command?: (file: string, args: readonly string[], input?: string) => Promise<string>
}

/** Host ports that a sandbox asks for, on the addresses it got. */
export function hostPortsOf(config: SandboxConfig, ips: readonly string[]): HostPort[] {
  const ports: HostPort[] = []
  for (const mapping of config.portMappings) {
    if (mapping.hostPort === 0) continue
    const any = mapping.hostIP === '' || mapping.hostIP === '0.0.0.0' || mapping.hostIP === '::'
    for (const podIP of ips) {
      if (!any && mapping.hostIP.includes(':') !== podIP.includes(':')) continue
      const { protocol, hostPort, containerPort } = mapping
      ports.push({ protocol, hostIP: any ? '' : mapping.hostIP, hostPort, podIP, containerPort })
    }
  }
  return ports
}

/** The whole table as one nft transaction. */
export function podTable(name: string, clusterCidrs: readonly string[], ports: readonly HostPort[]): string {
  const word = (ip: string) => (ip.includes(':') ? 'ip6' : 'ip')
  const target = (port: HostPort) =>
    port.podIP.includes(':') ? `[${port.podIP}]:${port.containerPort}` : `${port.podIP}:${port.containerPort}`
  // A port on one address comes before the same port on all.
  const dnat = ports
    .toSorted((a, b) => Number(a.hostIP === '') - Number(b.hostIP === ''))
    .map((port) => {
      const family = word(port.podIP)
      const address = port.hostIP === '' ? 'fib daddr type local' : `${family} daddr ${port.hostIP}`
      const proto = port.protocol.toLowerCase()
      return `    ${address} meta nfproto ${family === 'ip' ? 'ipv4' : 'ipv6'} ${proto} dport ${port.hostPort} dnat ${family} to ${target(port)}`
    })
  const masquerade = clusterCidrs.map((cidr) => {
    const family = word(cidr)
    const multicast = family === 'ip' ? '224.0.0.0/4' : 'ff00::/8'
    return `    ${family} saddr ${cidr} ${family} daddr != { ${clusterCidrs.filter((c) => word(c) === family).join(', ')}, ${multicast} } masquerade`
  })
  // A pod that calls its own host port, and a caller on the loopback address, must be answered through the node.
  const own = ports.map((port) => {
    const family = word(port.podIP)
    const loopback = family === 'ip' ? '127.0.0.0/8' : '::1'
    return `    ${family} saddr { ${port.podIP}, ${loopback} } ${family} daddr ${port.podIP} ct status dnat masquerade`
  })
  const lines = [
    `table inet ${name} {}`,
    `delete table inet ${name}`,
    `table inet ${name} {`,
    '  chain hostports {',
    ...dnat,
    '  }',
    '  chain prerouting {',
    '    type nat hook prerouting priority -105; policy accept;',
    '    jump hostports',
    '  }',
    '  chain output {',
    '    type nat hook output priority -105; policy accept;',
    '    jump hostports',
    '  }',
    '  chain postrouting {',
    '    type nat hook postrouting priority 95; policy accept;',
    ...new Set(own),
    ...masquerade,
    '  }',
    // With route_localnet on, loopback addresses could be reached from outside.
    '  chain martians {',
    '    type filter hook prerouting priority -305; policy accept;',
    '    iifname != "lo" ip daddr 127.0.0.0/8 drop',
    '  }',
    '}',
  ]
  return `${lines.join('\n')}\n`
}

export function createPodRules(options: PodRulesOptions): PodRules {
  const { instance, clusterCidrs } = options
  const command = options.command ?? ((file, args, input) => run(file, args, input === undefined ? {} : { input }))
  const folder = join(instance.dataDir, 'cni')
  const file = join(folder, 'host-ports.json')
  const bySandbox = new Map<string, readonly HostPort[]>(Object.entries(load(file)))
  let localnet = false
  // One transaction at a time, each with the latest state: callers in between share the next one.
  let current: Promise<void> = Promise.resolve()
  let next: Promise<void> | undefined
  const apply = (): Promise<void> => {
    next ??= current.then(async () => {
      next = undefined
      const ports = [...bySandbox.values()].flat()
      if (!localnet && ports.some((port) => port.hostIP === '' || port.hostIP.startsWith('127.'))) {
        localnet = true
        await command('sysctl', ['-q', '-w', 'net.ipv4.conf.all.route_localnet=1'])
      }
      await command('nft', ['-f', '-'], podTable(instance.podTable, clusterCidrs, ports))
      writeFileSync(`${file}.new`, JSON.stringify(Object.fromEntries(bySandbox)))
      renameSync(`${file}.new`, file)
    })
    const mine = next
    current = mine.catch(() => undefined)
    return mine
  }
  return {
    async start(sandboxIds) {
      mkdirSync(folder, { recursive: true })
      for (const id of bySandbox.keys()) if (!sandboxIds.has(id)) bySandbox.delete(id)
      await apply()
    },
    async add(sandboxId, ports) {
      if (ports.length === 0) return
      bySandbox.set(sandboxId, ports)
      try {
        await apply()
      } catch (error) {
        bySandbox.delete(sandboxId)
        throw error
      }
    },
    async remove(sandboxId) {
      if (bySandbox.delete(sandboxId)) await apply()
    },
    async clear() {
      bySandbox.clear()
      await command('nft', ['-f', '-'], `table inet ${instance.podTable} {}\ndelete table inet ${instance.podTable}\n`)
    },
  }
}
function load(file: string): Record<string, readonly HostPort[]> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, readonly HostPort[]>
  } catch (error) {
    // Absent at first; half-written by no version of ours, and of no worth when it is.
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
}
