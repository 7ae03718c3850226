// containerd has the bandwidth plugin shape a pod with a burst of half a gigabyte: whatever the annotations say, so much goes
// at full speed first, and then waits in as long a queue. The buckets are made small again, right after the sandbox is.
import { parseIpList } from './ip-json.ts'
import { run } from './command.ts'

interface Link {
  readonly ifindex: number
  readonly ifname: string
  readonly link_index?: number
}
interface Discipline {
  readonly kind: string
  readonly root?: boolean
  /** Bytes per second, and bytes. */
  readonly options?: { readonly rate?: number; readonly burst?: number }
}
interface Filter {
  readonly options?: { readonly actions?: readonly { readonly kind: string; readonly to_dev?: string }[] }
}
const leastBurstBytes = 128 * 1024
const burstSeconds = 0.1

/** What may go at once at a rate in bytes per second: a tenth of a second of it, and room for large segments. */
export const burstFor = (rate: number): number => Math.max(leastBurstBytes, Math.round(rate * burstSeconds))

/** Makes the buckets small of what shapes the network of the pod that a process is in. Rejects where a tool fails. */
export async function limitBursts(pid: number): Promise<void> {
  const inside = parseIpList<Link>(
    await run('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', '-j', 'link', 'show', 'dev', 'eth0']),
  )
  const outside = parseIpList<Link>(await run('ip', ['-j', 'link', 'show']))
  const link = outside.find(({ ifindex }) => ifindex === inside[0]?.link_index)
  if (link === undefined) return
  // What comes from the pod is shaped on a device of its own, to which it is redirected.
  const filters = parseIpList<Filter>(await run('tc', ['-j', 'filter', 'show', 'dev', link.ifname, 'parent', 'ffff:']))
  const redirected = filters.flatMap(({ options }) => options?.actions ?? []).flatMap(({ to_dev }) => to_dev ?? [])
  for (const device of new Set([link.ifname, ...redirected])) await limitBurst(device)
}
async function limitBurst(device: string): Promise<void> {
  const disciplines = parseIpList<Discipline>(await run('tc', ['-j', 'qdisc', 'show', 'dev', device]))
  const { rate, burst } = disciplines.find(({ kind, root }) => kind === 'tbf' && root === true)?.options ?? {}
  if (rate === undefined || burst === undefined || burst <= burstFor(rate)) return
  const bucket = ['rate', `${rate * 8}bit`, 'burst', `${burstFor(rate)}b`, 'latency', '25ms']
  await run('tc', ['qdisc', 'change', 'dev', device, 'root', 'tbf', ...bucket])
}
