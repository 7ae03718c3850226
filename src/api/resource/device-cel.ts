// CEL expressions that choose devices (KEP-4381): `device.driver`, `device.attributes["domain"].name`,
// `device.capacity["domain"].name`, `device.allowMultipleAllocations`. Compiled here for whoever checks or asks them.
import { type CelProgram, compileCel } from '../machinery/cel.ts'
import { bool, type CelType, dyn, mapOf, opaque, string } from '../machinery/cel/types.ts'

const deviceFields: Readonly<Record<string, CelType>> = {
  driver: string,
  attributes: mapOf(string, mapOf(string, dyn)),
  capacity: mapOf(string, mapOf(string, opaque('kubernetes.Quantity'))),
  allowMultipleAllocations: bool,
}
const deviceType: CelType = {
  kind: 'object',
  name: 'kubernetes.DRADevice',
  field: (name) => (Object.hasOwn(deviceFields, name) ? deviceFields[name] : undefined),
}

/** What one evaluation may cost. */
export const maxDeviceSelectorCost = 1_000_000
const remembered = 1024
const programs = new Map<string, CelProgram | string>()

/** The program of an expression about `device`, or why it does not compile. */
export function deviceSelectorProgram(expression: string): CelProgram | string {
  let program = programs.get(expression)
  if (program === undefined) {
    const compiled = compileCel(expression, { variables: { device: deviceType }, result: bool })
    program = compiled.ok ? compiled.program : compiled.error
    if (programs.size >= remembered) programs.clear()
    programs.set(expression, program)
  }
  return program
}
