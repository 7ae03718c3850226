// The environment of a container: services first, then envFrom, then env, each overriding what came before. A missing
// ConfigMap, Secret or key that is not optional stops the container with CreateContainerConfigError.
import { expand } from './expand.ts'
import { type AnyContainer, type EnvVar, namespaceOf, type Pod } from './types.ts'

export interface ServiceFacts {
  readonly name: string
  readonly namespace: string
  readonly clusterIP: string
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[]
}
/** What an environment is made of; a source answers undefined for an object that does not exist. */
export interface EnvSources {
  readonly configMap: (name: string) => { readonly data?: Readonly<Record<string, string>> | undefined } | undefined
  /** Values already decoded from base64. */
  readonly secret: (name: string) => { readonly data: Readonly<Record<string, string>> } | undefined
  readonly services: readonly ServiceFacts[]
  readonly field: (path: string) => string | undefined
  readonly resourceField: (ref: { containerName?: string; resource: string; divisor?: string }) => string | undefined
  /** Content of an env file in a volume (KEP-3721), undefined when absent. */
  readonly file: (volume: string, path: string) => string | undefined
}
export interface EnvEntry {
  readonly key: string
  readonly value: string
}
export type Environment =
  | {
      readonly ok: true
      readonly entries: readonly EnvEntry[]
      /** Keys of envFrom that cannot be environment names, for an event. */
      readonly skipped: readonly { readonly source: string; readonly keys: readonly string[] }[]
    }
  | { readonly ok: false; readonly message: string }

const printable = /^[\x20-\x3c\x3e-\x7e]+$/
const variableName = (text: string) => text.toUpperCase().replaceAll('-', '_')

/** {SVC}_SERVICE_HOST and the names of Docker links. */
export function serviceEnvironment(services: readonly ServiceFacts[]): Map<string, string> {
  const env = new Map<string, string>()
  for (const { name, clusterIP, ports } of services) {
    const prefix = variableName(name)
    const first = ports[0]
    if (first === undefined) continue
    env.set(`${prefix}_SERVICE_HOST`, clusterIP)
    env.set(`${prefix}_SERVICE_PORT`, String(first.port))
    for (const port of ports)
      if (port.name !== '') env.set(`${prefix}_SERVICE_PORT_${variableName(port.name)}`, String(port.port))
    const host = clusterIP.includes(':') ? `[${clusterIP}]` : clusterIP
    for (const [index, port] of ports.entries()) {
      const protocol = port.protocol.toLowerCase()
      const url = `${protocol}://${host}:${port.port}`
      if (index === 0) env.set(`${prefix}_PORT`, url)
      const link = `${prefix}_PORT_${port.port}_${port.protocol.toUpperCase()}`
      env.set(link, url)
      env.set(`${link}_PROTO`, protocol)
      env.set(`${link}_PORT`, String(port.port))
      env.set(`${link}_ADDR`, clusterIP)
    }
  }
  return env
}
/** Services whose variables a pod sees: the API's own always, those of its namespace unless it declined. */
export function visibleServices(pod: Pod, services: Iterable<ServiceFacts>): ServiceFacts[] {
  const all = pod.spec.enableServiceLinks !== false
  const own: ServiceFacts[] = []
  let api: ServiceFacts | undefined
  for (const service of services) {
    if (service.clusterIP === '' || service.clusterIP === 'None') continue
    if (service.namespace === namespaceOf(pod) && all) own.push(service)
    else if (service.namespace === 'default' && service.name === 'kubernetes') api = service
  }
  if (api !== undefined && !own.some((s) => s.name === 'kubernetes')) own.push(api)
  return own.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** A value, nothing (an optional source is absent), or what is wrong. */
type Found = { readonly value: string } | 'absent' | { readonly error: string }

function keyed(
  what: 'ConfigMap' | 'Secret',
  namespace: string,
  ref: { readonly name?: string | undefined; readonly key: string; readonly optional?: boolean | undefined },
  data: Readonly<Record<string, string>> | undefined,
): Found {
  const name = ref.name ?? ''
  if (data === undefined) return ref.optional ? 'absent' : { error: `${what.toLowerCase()} "${name}" not found` }
  const value = Object.hasOwn(data, ref.key) ? data[ref.key] : undefined
  if (value !== undefined) return { value }
  return ref.optional ? 'absent' : { error: `couldn't find key ${ref.key} in ${what} ${namespace}/${name}` }
}

function fromSource(pod: Pod, source: NonNullable<EnvVar['valueFrom']>, sources: EnvSources): Found {
  const namespace = namespaceOf(pod)
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = source
  if (fieldRef !== undefined) {
    const value = sources.field(fieldRef.fieldPath)
    return value === undefined ? { error: `unsupported fieldPath: ${fieldRef.fieldPath}` } : { value }
  }
  if (resourceFieldRef !== undefined) {
    const { containerName, resource, divisor } = resourceFieldRef
    const value = sources.resourceField({
      resource,
      ...(containerName === undefined ? {} : { containerName }),
      ...(divisor === undefined ? {} : { divisor }),
    })
    return value === undefined ? { error: `unsupported container resource : ${resource}` } : { value }
  }
  if (configMapKeyRef !== undefined) {
    const found = sources.configMap(configMapKeyRef.name ?? '')
    return keyed('ConfigMap', namespace, configMapKeyRef, found === undefined ? undefined : (found.data ?? {}))
  }
  if (secretKeyRef !== undefined)
    return keyed('Secret', namespace, secretKeyRef, sources.secret(secretKeyRef.name ?? '')?.data)
  if (fileKeyRef !== undefined) return fromFile(fileKeyRef, sources)
  return 'absent'
}

/** KEY=VALUE lines, '#' begins a comment. */
function fromFile(ref: NonNullable<NonNullable<EnvVar['valueFrom']>['fileKeyRef']>, sources: EnvSources): Found {
  const text = sources.file(ref.volumeName, ref.path)
  const lines = (text ?? '').split('\n').filter((line) => line.trim() !== '' && !line.trimStart().startsWith('#'))
  for (const line of lines) {
    const equals = line.indexOf('=')
    if (equals === -1 || line.slice(0, equals).trim() !== ref.key) continue
    const value = line.slice(equals + 1).trim()
    return { value: value.replace(/^'(.*)'$/s, '$1').replace(/^"(.*)"$/s, '$1') }
  }
  if (ref.optional) return 'absent'
  return {
    error: `environment variable key "${ref.key}" not found in file "${ref.path}" of volume "${ref.volumeName}"`,
  }
}

/** Adds envFrom; answers what is wrong, if anything. */
function addEnvFrom(
  pod: Pod,
  container: AnyContainer,
  sources: EnvSources,
  into: Map<string, string>,
  skipped: { source: string; keys: readonly string[] }[],
): string | undefined {
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const ref = configMapRef ?? secretRef
    if (ref === undefined) continue
    const name = ref.name ?? ''
    const found = configMapRef === undefined ? sources.secret(name) : sources.configMap(name)
    const what = configMapRef === undefined ? 'secret' : 'configmap'
    if (found === undefined) {
      if (ref.optional) continue
      return `${what} "${name}" not found`
    }
    const bad: string[] = []
    for (const [key, value] of Object.entries(found.data ?? {})) {
      if (printable.test(prefix + key)) into.set(prefix + key, value)
      else bad.push(key)
    }
    const source = `${what === 'secret' ? 'secret' : 'configMap'} ${namespaceOf(pod)}/${name}`
    if (bad.length > 0) skipped.push({ source, keys: bad.sort() })
  }
  return undefined
}

export function makeEnvironment(pod: Pod, container: AnyContainer, sources: EnvSources): Environment {
  const services = serviceEnvironment(visibleServices(pod, sources.services))
  const own = new Map<string, string>()
  const skipped: { source: string; keys: readonly string[] }[] = []
  const error = addEnvFrom(pod, container, sources, own, skipped)
  if (error !== undefined) return { ok: false, message: error }
  const lookup = (name: string) => own.get(name) ?? services.get(name)
  for (const variable of container.env ?? []) {
    if (variable.value !== undefined && variable.value !== '') {
      own.set(variable.name, expand(variable.value, lookup))
      continue
    }
    if (variable.valueFrom === undefined) {
      own.set(variable.name, '')
      continue
    }
    const found = fromSource(pod, variable.valueFrom, sources)
    if (found === 'absent') continue
    if ('error' in found) return { ok: false, message: found.error }
    own.set(variable.name, found.value)
  }
  const entries = [...own].map(([key, value]) => ({ key, value }))
  for (const [key, value] of services) if (!own.has(key)) entries.push({ key, value })
  return { ok: true, entries, skipped }
}
