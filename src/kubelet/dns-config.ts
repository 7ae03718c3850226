// resolv.conf of a pod from its dnsPolicy and dnsConfig and the node's own file. Linux allows three name servers and 32
// search domains of 2,048 characters in all; what exceeds is cut, with a warning.
import { isHostNetwork, namespaceOf, type Pod } from './types.ts'

export interface ResolvConf {
  readonly servers: readonly string[]
  readonly searches: readonly string[]
  readonly options: readonly string[]
}
export interface DnsSettings {
  readonly clusterDns: readonly string[]
  readonly clusterDomain: string
  /** What the node's resolv.conf says. */
  readonly node: ResolvConf
}
export interface PodDns extends ResolvConf {
  readonly warnings: readonly { readonly reason: string; readonly message: string }[]
}

export function parseResolvConf(text: string): ResolvConf {
  const servers: string[] = []
  let searches: string[] = []
  let options: string[] = []
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.trim().split(/\s+/)
    if (word === 'nameserver' && rest[0] !== undefined) servers.push(rest[0])
    else if (word === 'search') searches = rest.map((s) => (s === '.' ? s : s.replace(/\.$/, '')))
    else if (word === 'options') options = rest
  }
  return { servers, searches, options }
}

const unique = (list: readonly string[]): string[] => [...new Set(list)]

/** The effective policy: ClusterFirst on the host's network means Default. */
function basis(pod: Pod, settings: DnsSettings, warnings: { reason: string; message: string }[]): ResolvConf {
  const { node, clusterDns, clusterDomain } = settings
  const policy = pod.spec.dnsPolicy ?? 'ClusterFirst'
  if (policy === 'None') return { servers: [], searches: [], options: [] }
  const cluster = policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && !isHostNetwork(pod))
  if (!cluster) return node
  if (clusterDns.length === 0) {
    warnings.push({
      reason: 'MissingClusterDNS',
      message: `pod: "${pod.metadata.name}_${namespaceOf(pod)}(${pod.metadata.uid})". kubelet does not have ClusterDNS IP configured and cannot create Pod using "${policy}" policy. Falling back to "Default" policy.`,
    })
    return node
  }
  const own = [`${namespaceOf(pod)}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain]
  return {
    servers: clusterDns,
    searches: unique([...(clusterDomain === '' ? [] : own), ...node.searches.filter((s) => s !== '.')]),
    options: ['ndots:5'],
  }
}

/** Options of the pod replace the basis' by name. */
function mergeOptions(basisOptions: readonly string[], pod: Pod): string[] {
  const byName = new Map(basisOptions.map((option) => [option.split(':')[0] ?? option, option]))
  for (const { name, value } of pod.spec.dnsConfig?.options ?? [])
    if (name !== undefined) byName.set(name, value === undefined ? name : `${name}:${value}`)
  return [...byName.values()]
}

const maxServers = 3
const maxSearches = 32
const maxSearchCharacters = 2048

function cutSearches(pod: Pod, all: readonly string[], warnings: { reason: string; message: string }[]): string[] {
  let searches = all.slice(0, maxSearches)
  while (searches.join(' ').length > maxSearchCharacters) searches = searches.slice(0, -1)
  if (searches.length < all.length)
    warnings.push({
      reason: 'DNSConfigForming',
      message: `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${searches.join(' ')}`,
    })
  return searches
}

export function podDns(pod: Pod, settings: DnsSettings): PodDns {
  const warnings: { reason: string; message: string }[] = []
  const base = basis(pod, settings, warnings)
  const own = pod.spec.dnsConfig
  const allServers = unique([...base.servers, ...(own?.nameservers ?? [])])
  const servers = allServers.slice(0, maxServers)
  if (servers.length < allServers.length)
    warnings.push({
      reason: 'DNSConfigForming',
      message: `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${servers.join(' ')}`,
    })
  const searches = cutSearches(pod, unique([...base.searches, ...(own?.searches ?? [])]), warnings)
  return { servers, searches, options: mergeOptions(base.options, pod), warnings }
}
