// IntOrString: a number or a text, which for maxSurge and its like is a percentage of some total.

export type IntOrString = number | string

/** The whole percents of "25%", or undefined where the text is no percentage. */
export function parsePercent(text: string): number | undefined {
  const match = /^([0-9]+)%$/.exec(text)
  return match === null ? undefined : Number(match[1])
}

/** A plain number as it is, a percentage of `total`; undefined where it is neither. */
export function scaledValue(value: IntOrString, total: number, round: 'up' | 'down'): number | undefined {
  if (typeof value === 'number') return value
  const match = /^([+-]?[0-9]+)%$/.exec(value)
  if (match === null) return undefined
  const scaled = (Number(match[1]) * total) / 100
  return round === 'up' ? Math.ceil(scaled) : Math.floor(scaled)
}
