// Ports that a probe or a hook names instead of numbering.
import type { AnyContainer } from './types.ts'

/** The number, or Go's complaint about a name that no port of the container has. */
export function resolvePort(
  container: AnyContainer,
  port: number | string,
): { readonly ok: true; readonly port: number } | { readonly ok: false; readonly error: string } {
  if (typeof port === 'number') return checked(port)
  const named = container.ports?.find((p) => p.name === port)
  if (named !== undefined) return checked(named.containerPort)
  if (/^[0-9]+$/.test(port)) return checked(Number(port))
  return { ok: false, error: `strconv.Atoi: parsing ${JSON.stringify(port)}: invalid syntax` }
}
const checked = (port: number) =>
  port > 0 && port < 65536
    ? ({ ok: true, port } as const)
    : ({ ok: false, error: `invalid port number: ${port}` } as const)
