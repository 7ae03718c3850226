// Devices that several claims share take from a capacity each (KEP-5075): how much a request gets, and whether it is still there.
import type { Device } from '../../api/resource/pools.ts'
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  type Quantity,
  subtractQuantities,
} from '../../api/machinery/quantity.ts'
import { qualified } from './device-selectors.ts'

/** Amounts by the names that the device gives its capacities. */
export type Consumed = Readonly<Record<string, string>>
type Capacity = NonNullable<Device['capacity']>[string]

export function addConsumed(to: Consumed | undefined, more: Consumed): Consumed {
  const sum: Record<string, string> = { ...to }
  for (const [name, amount] of Object.entries(more))
    sum[name] = sum[name] === undefined ? amount : formatQuantity(addQuantities(sum[name], amount))
  return sum
}

export function subtractConsumed(from: Consumed, less: Consumed): Consumed {
  const rest: Record<string, string> = { ...from }
  for (const [name, amount] of Object.entries(less))
    rest[name] = formatQuantity(subtractQuantities(rest[name] ?? '0', amount))
  return rest
}

/** The amount that a request for `wanted` takes: at least as much, as the policy allows. Undefined where it allows none. */
function granted({ value, requestPolicy: policy }: Capacity, wanted: string | undefined): Quantity | undefined {
  if (wanted === undefined) return parseQuantity(String(policy?.default ?? value))
  const asked = parseQuantity(wanted)
  const { validValues, validRange } = policy ?? {}
  if (validValues !== undefined) {
    const enough = validValues.map((one) => parseQuantity(String(one))).filter((one) => one.nanos >= asked.nanos)
    return enough.sort((a, b) => (a.nanos < b.nanos ? -1 : 1))[0]
  }
  if (validRange === undefined) return asked
  const min = parseQuantity(String(validRange.min))
  let amount = asked.nanos < min.nanos ? min : asked
  const step = validRange.step === undefined ? 0n : parseQuantity(String(validRange.step)).nanos
  if (step > 0n) {
    const over = (amount.nanos - min.nanos) % step
    if (over > 0n) amount = { ...amount, nanos: amount.nanos + step - over }
  }
  const { max } = validRange
  return max !== undefined && compareQuantities(amount, String(max)) > 0 ? undefined : amount
}

/** What a share of the device takes of each of its capacities; undefined where the rest does not suffice. */
export function shareOf(
  device: Device,
  driver: string,
  requests: Consumed | undefined,
  gone: Consumed,
): Consumed | undefined {
  const share: Record<string, string> = {}
  for (const [name, capacity] of Object.entries(device.capacity ?? {})) {
    const wanted = qualified(requests, name, driver)
    const amount = granted(capacity, wanted)
    if (amount === undefined) return undefined
    const left = subtractQuantities(String(capacity.value), gone[name] ?? '0')
    if (compareQuantities(amount, left) > 0) return undefined
    share[name] = formatQuantity(amount)
  }
  return share
}
