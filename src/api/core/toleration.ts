// Taints repel pods from nodes; tolerations let them come nevertheless.
import { type Infer, int64, object, optional, required, string, time } from '../machinery/schema.ts'
import { CORE } from './references.ts'
import { text } from './scalars.ts'

export const toleration = object(`${CORE}Toleration`, {
  key: text(1),
  operator: text(2),
  value: text(3),
  effect: text(4),
  tolerationSeconds: optional(5, int64()),
})
export interface Toleration extends Infer<typeof toleration> {}

export const taint = object(`${CORE}Taint`, {
  key: required(1, string()),
  value: text(2),
  effect: required(3, string()),
  timeAdded: optional(4, time()),
})
export interface Taint extends Infer<typeof taint> {}

/** True when the toleration lets a pod stand the taint. Gt and Lt compare whole numbers (KEP-5471). */
export function tolerates(toleration: Toleration, taint: Pick<Taint, 'key' | 'value' | 'effect'>): boolean {
  const { key = '', operator = '', value = '', effect = '' } = toleration
  if (effect !== '' && effect !== taint.effect) return false
  if (key !== '' && key !== taint.key) return false
  switch (operator) {
    case '':
    case 'Equal':
      return value === (taint.value ?? '')
    case 'Exists':
      return true
    case 'Gt':
    case 'Lt':
      return compareNumbers(operator, taint.value ?? '', value)
    default:
      return false
  }
}
function compareNumbers(operator: 'Gt' | 'Lt', tainted: string, tolerated: string): boolean {
  const whole = /^(0|-?[1-9][0-9]*)$/
  if (!whole.test(tainted) || !whole.test(tolerated)) return false
  return operator === 'Gt' ? BigInt(tainted) > BigInt(tolerated) : BigInt(tainted) < BigInt(tolerated)
}
/** The first taint with one of the effects that no toleration covers. */
export function untoleratedTaint(
  taints: readonly Taint[] | undefined,
  tolerations: readonly Toleration[] | undefined,
  effects: readonly string[],
): Taint | undefined {
  return taints?.find((t) => effects.includes(t.effect) && !tolerations?.some((one) => tolerates(one, t)))
}
