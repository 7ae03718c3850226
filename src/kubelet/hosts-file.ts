// /etc/hosts of a pod. With host networking it is the node's own file under our first line.
import type { Pod } from './types.ts'

const own = `# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
`

type HostAliases = NonNullable<Pod['spec']['hostAliases']>
function aliasLines(aliases: HostAliases | undefined): string {
  if (aliases === undefined || aliases.length === 0) return ''
  const lines = aliases.map((alias) => `${alias.ip}\t${(alias.hostnames ?? []).join('\t')}\n`)
  return `\n# Entries added by HostAliases.\n${lines.join('')}`
}

/** For a pod with a network of its own. `domain` is its FQDN's tail, '' without a subdomain. */
export function podHostsFile(
  ips: readonly string[],
  hostname: string,
  domain: string,
  aliases: HostAliases | undefined,
): string {
  const names = domain === '' ? hostname : `${hostname}.${domain}\t${hostname}`
  return `${own}${ips.map((ip) => `${ip}\t${names}\n`).join('')}${aliasLines(aliases)}`
}
export const hostNetworkHostsFile = (nodeFile: string, aliases: HostAliases | undefined): string =>
  `# Kubernetes-managed hosts file (host network).\n${nodeFile}${aliasLines(aliases)}`

/** Hostname and domain of a pod: spec.hostname or its name cut to 63 characters; a subdomain makes the domain. */
export function podHostname(pod: Pod, clusterDomain: string): { readonly hostname: string; readonly domain: string } {
  const { spec, metadata } = pod
  if (spec.hostnameOverride !== undefined) return { hostname: spec.hostnameOverride, domain: '' }
  const hostname = (spec.hostname || metadata.name).slice(0, 63).replace(/[-.]+$/, '')
  const domain = spec.subdomain ? `${spec.subdomain}.${metadata.namespace}.svc.${clusterDomain}` : ''
  return { hostname, domain }
}
