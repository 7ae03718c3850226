// Address ranges in the form that the kernel takes: canonical, none within another.
import { formatIp, parseCidr, parseIp } from '../../api/machinery/ip.ts'

/** Of lists that are asked again: those of a policy stay while everything else changes. */
const known = new WeakMap<readonly string[], Partial<Record<4 | 6, readonly string[]>>>()

/** One family's CIDRs and addresses of a list, which may overlap and have host bits; what is neither is left out. Single
 * addresses are written without a prefix. */
export function canonicalRanges(list: readonly string[], family: 4 | 6): readonly string[] {
  const families = known.get(list) ?? {}
  known.set(list, families)
  return (families[family] ??= findRanges(list, family))
}
function findRanges(list: readonly string[], family: 4 | 6): string[] {
  const bits = family === 4 ? 32 : 128
  const byPrefix = new Map<number, Set<bigint>>()
  for (const text of list) {
    const range = text.includes('/') ? parseCidr(text) : parseIp(text)
    if (range === undefined || range.version !== family) continue
    const prefix = 'prefix' in range ? (range as { prefix: number }).prefix : bits
    const set = byPrefix.get(prefix) ?? new Set()
    set.add(range.value >> BigInt(bits - prefix))
    byPrefix.set(prefix, set)
  }
  const prefixes = [...byPrefix.keys()].sort((a, b) => a - b)
  const out: string[] = []
  for (const prefix of prefixes)
    for (const network of byPrefix.get(prefix) ?? []) {
      const within = prefixes.some((p) => p < prefix && byPrefix.get(p)?.has(network >> BigInt(prefix - p)) === true)
      if (within) continue
      const address = formatIp({ version: family, value: network << BigInt(bits - prefix) })
      out.push(prefix === bits ? address : `${address}/${prefix}`)
    }
  return out
}
