// Asks CEL expressions about devices (KEP-4381), each about each device once.
import { celQuantity, celVersion } from '../../api/machinery/cel/kubernetes.ts'
import { CelError, ListValue, MapValue, type Result, type Value } from '../../api/machinery/cel/values.ts'
import { deviceSelectorProgram } from '../../api/resource/device-cel.ts'
import type { Device } from '../../api/resource/pools.ts'

type Attribute = NonNullable<Device['attributes']>[string]

/** A domain that a device does not know reads as one without names, so that expressions fail on the name alone. */
class Domains extends MapValue {
  override get(key: Value): Value | undefined {
    return super.get(key) ?? nothing
  }
}
const nothing = new MapValue([])

/** "domain/name" of an attribute or capacity; what has no domain belongs to the driver. */
export function qualifiedName(name: string, driver: string): readonly [domain: string, id: string] {
  const at = name.indexOf('/')
  return at === -1 ? [driver, name] : [name.slice(0, at), name.slice(at + 1)]
}
/** The member of a device under a full or a short name. */
export function qualified<T>(
  members: Readonly<Record<string, T>> | undefined,
  name: string,
  driver: string,
): T | undefined {
  const wanted = qualifiedName(name, driver).join('/')
  for (const key in members) if (qualifiedName(key, driver).join('/') === wanted) return members[key]
  return undefined
}

function attributeValue(attribute: Attribute): Value {
  const { int, bool: flag, string: text, version, ints, bools, strings, versions } = attribute
  if (int !== undefined) return BigInt(int)
  if (flag !== undefined) return flag
  if (text !== undefined) return text
  if (version !== undefined) return plain(celVersion(version))
  if (ints !== undefined) return new ListValue(ints.map(BigInt))
  return new ListValue(bools ?? strings ?? versions?.map((one) => plain(celVersion(one))) ?? [])
}
/** A value that does not parse can equal nothing. */
const plain = (value: Result): Value => (value instanceof CelError ? null : value)

function domains<T>(
  members: Readonly<Record<string, T>> | undefined,
  driver: string,
  valueOf: (member: T) => Value,
): Domains {
  const byDomain = new Map<string, [Value, Value][]>()
  for (const [name, member] of Object.entries(members ?? {})) {
    const [domain, id] = qualifiedName(name, driver)
    const entry: [Value, Value] = [id, valueOf(member)]
    const known = byDomain.get(domain)
    if (known === undefined) byDomain.set(domain, [entry])
    else known.push(entry)
  }
  return new Domains([...byDomain].map(([domain, entries]) => [domain, new MapValue(entries)] as const))
}
const valueOf = (device: Device, driver: string): Value =>
  new MapValue([
    ['driver', driver],
    ['attributes', domains(device.attributes, driver, attributeValue)],
    ['capacity', domains(device.capacity, driver, ({ value }) => plain(celQuantity(String(value))))],
    ['allowMultipleAllocations', device.allowMultipleAllocations ?? false],
  ])

const values = new WeakMap<Device, Value>()
const answers = new WeakMap<Device, Map<string, boolean | Error>>()

/** Whether the device satisfies the expression. Answers an Error for one that cannot be compiled or fails. */
export function selects(expression: string, device: Device, driver: string): boolean | Error {
  let known = answers.get(device)
  if (known === undefined) answers.set(device, (known = new Map()))
  let answer = known.get(expression)
  if (answer === undefined) known.set(expression, (answer = evaluate(expression, device, driver)))
  return answer
}
function evaluate(expression: string, device: Device, driver: string): boolean | Error {
  const program = deviceSelectorProgram(expression)
  if (typeof program === 'string') return new Error(`CEL compile error: ${program}`)
  let value = values.get(device)
  if (value === undefined) values.set(device, (value = valueOf(device, driver)))
  const result = program.run({ device: value })
  return result.ok ? result.value === true : new Error(`CEL runtime error: ${result.error}`)
}
