// Sets of CPUs as the kernel writes them.

/** "0-2,5" of CPU numbers. */
export function formatCpus(cpus: Iterable<number>): string {
  const sorted = [...new Set(cpus)].sort((a, b) => a - b)
  const ranges: string[] = []
  for (let i = 0; i < sorted.length; i++) {
    const first = sorted[i] ?? 0
    while ((sorted[i + 1] ?? Number.NaN) === (sorted[i] ?? 0) + 1) i++
    ranges.push(first === sorted[i] ? String(first) : `${first}-${sorted[i]}`)
  }
  return ranges.join(',')
}
/** Throws for what is no list of CPUs. */
export function parseCpus(text: string): readonly number[] {
  if (text.trim() === '') return []
  return text.split(',').flatMap((part) => {
    const match = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part)
    const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])]
    if (match === null || last < first) throw new Error(`"${text}" is not a list of CPUs such as 0-3,8`)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}
