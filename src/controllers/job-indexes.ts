// Sets of completion indexes as Job statuses write them: "1,3-5,7,8", ascending, three or more in a row
// joined.

/** Indexes below `limit` that the text lists; what is no index is passed over. */
export function parseIndexes(text: string | undefined, limit: number): ReadonlySet<number> {
  const indexes = new Set<number>()
  if (text === undefined || text === '') return indexes
  for (const part of text.split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part)
    if (match === null) continue
    const from = Number(match[1])
    const to = Math.min(match[2] === undefined ? from : Number(match[2]), limit - 1)
    for (let index = from; index <= to; index++) indexes.add(index)
  }
  return indexes
}

/** The text of a set; an empty string for the empty one. */
export function formatIndexes(indexes: Iterable<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b)
  const parts: string[] = []
  for (let i = 0; i < sorted.length; i++) {
    const from = sorted[i] ?? 0
    let to = from
    while (sorted[i + 1] === to + 1) to = sorted[++i] ?? to
    parts.push(to === from ? String(from) : `${from}${to === from + 1 ? ',' : '-'}${to}`)
  }
  return parts.join(',')
}
