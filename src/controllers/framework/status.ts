// Whether a status changed. Zero, "", false, an empty list and absence are the same to the server, so they are here.

const isZero = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === 0 ||
  value === '' ||
  value === false ||
  (Array.isArray(value) && value.length === 0)

/** Deep equality where a zero value equals an absent one. */
export function sameStatus(a: unknown, b: unknown): boolean {
  if (a === b || (isZero(a) && isZero(b))) return true
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => sameStatus(item, b[i]))
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) return false
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>]
  return (
    Object.keys(left).every((key) => sameStatus(left[key], right[key])) &&
    Object.keys(right).every((key) => key in left || isZero(right[key]))
  )
}
