// Node ports that a program of this machine has already: the program keeps its port, users are told in an event, and the Service
// gets it when it is free. A port that is served stays so, whoever asks for it later, as with upstream's proxies.
import type { ServiceRule } from '../ports/dataplane.ts'
import { type Clock, every, type Timer } from '../ports/clock.ts'

/** The kernel does not tell when a port becomes free. */
const lookMs = 5000

export interface NodePortsOptions {
  readonly clock: Clock
  /** Ports that programs listen on, as "TCP/30080". */
  readonly heldPorts: () => Promise<ReadonlySet<string>>
  /** Hears of a port when it is found to be held, and when it is served after all. */
  readonly onChange: (key: string, rule: ServiceRule, held: boolean) => void
  /** Asks for a look. */
  readonly poke: () => void
}
export interface NodePorts {
  /** Takes note of the rules of a Service; none where it is gone. */
  set(key: string, rules: readonly ServiceRule[]): void
  /** Looks at ports that are new, and again at those that were held. */
  look(): Promise<void>
  /** The rule, without its node port where that is somebody else's. */
  served(rule: ServiceRule): ServiceRule
  stop(): void
}
const portOf = ({ protocol, nodePort }: ServiceRule): string | undefined =>
  nodePort === undefined ? undefined : `${protocol}/${nodePort}`

export function createNodePorts({ clock, heldPorts, onChange, poke }: NodePortsOptions): NodePorts {
  /** Ports of each Service, by the rule that first named them. */
  const ofService = new Map<string, ReadonlyMap<string, ServiceRule>>()
  const fresh = new Map<string, string>()
  const held = new Map<string, string>()
  const without = new WeakMap<ServiceRule, ServiceRule>()
  let timer: Timer | undefined

  const keepLooking = () => {
    if (held.size === 0) {
      timer?.cancel()
      timer = undefined
    } else
      timer ??= every(clock, lookMs, () => {
        for (const [port, key] of held) fresh.set(port, key)
        poke()
      })
  }
  const tell = (key: string, port: string, isHeld: boolean) => {
    const rule = ofService.get(key)?.get(port)
    if (rule !== undefined) onChange(key, rule, isHeld)
  }
  return {
    set(key, rules) {
      const ports = new Map<string, ServiceRule>()
      for (const rule of rules) {
        const port = portOf(rule)
        if (port !== undefined && !ports.has(port)) ports.set(port, rule)
      }
      const before = ofService.get(key)
      for (const port of before?.keys() ?? [])
        if (!ports.has(port)) {
          fresh.delete(port)
          held.delete(port)
        }
      for (const port of ports.keys()) if (before?.has(port) !== true) fresh.set(port, key)
      if (ports.size === 0) ofService.delete(key)
      else ofService.set(key, ports)
      keepLooking()
    },
    async look() {
      if (fresh.size === 0) return
      const asked = new Map(fresh)
      const taken = await heldPorts()
      for (const [port, key] of asked) {
        fresh.delete(port)
        if (taken.has(port) === held.has(port)) continue
        if (taken.has(port)) held.set(port, key)
        else held.delete(port)
        tell(key, port, taken.has(port))
      }
      keepLooking()
    },
    served(rule) {
      const port = portOf(rule)
      if (port === undefined || !held.has(port)) return rule
      const known = without.get(rule) ?? { ...rule, nodePort: undefined }
      without.set(rule, known)
      return known
    },
    stop: () => timer?.cancel(),
  }
}
