// Which group versions a server offers: all stable ones and those of old manifests, and betas and alphas where they are
// asked for, in the words of upstream's --runtime-config.
import { builtinKinds } from './kinds.ts'
import { apiVersionOf, type Kind } from './machinery/kind.ts'
import { clusterTrustBundles, podCertificateRequests } from './preview/certificates.ts'
import { leaseCandidates } from './preview/coordination.ts'
import { deviceTaintRules, resourcePoolStatusRequests } from './preview/resource.ts'
import { podGroups, workloads } from './preview/scheduling.ts'
import { storageVersionMigrations, storageVersions } from './preview/storage-versions.ts'

const any = (kind: Kind<never>): Kind => kind as unknown as Kind

/** Kinds that are beta or alpha in every version. */
export const previewKinds: readonly Kind[] = [
  any(clusterTrustBundles),
  any(podCertificateRequests),
  any(leaseCandidates),
  any(deviceTaintRules),
  any(resourcePoolStatusRequests),
  any(workloads),
  any(podGroups),
  any(storageVersions),
  any(storageVersionMigrations),
]
const allKinds = [...builtinKinds, ...previewKinds]

/** What is asked for, by "api/beta", "GROUP/VERSION" or "GROUP/VERSION/RESOURCE". */
export type RuntimeConfig = ReadonlyMap<string, boolean>
/** Says which key means nothing, and what does. */
export class RuntimeConfigError extends Error {}

interface Offered {
  readonly group: string
  readonly version: string
  /** Served by upstream no longer. */
  readonly deprecation?: string
}
type Level = 'alpha' | 'beta' | undefined
/** metrics.k8s.io is an add-on's with upstream, and beta for ever. */
const addOns = new Set(['metrics.k8s.io'])
/** Versions that upstream dropped are for old manifests, and on like the stable ones. */
function levelOf({ group, version, deprecation }: Offered): Level {
  if (deprecation !== undefined || addOns.has(group)) return undefined
  if (version.includes('alpha')) return 'alpha'
  return version.includes('beta') ? 'beta' : undefined
}
function isOn(config: RuntimeConfig, offered: Offered, plural: string): boolean {
  const level = levelOf(offered)
  const version = apiVersionOf(offered)
  return (
    config.get(`${version}/${plural}`) ??
    config.get(version) ??
    (level === undefined ? undefined : config.get(`api/${level}`)) ??
    config.get('api/all') ??
    level === undefined
  )
}

/** The kinds of a server, each in the versions that are on. */
export function servedKinds(config: RuntimeConfig = new Map()): readonly Kind[] {
  return allKinds.flatMap((kind) => {
    const { versions, ...alone } = kind
    const others = (versions ?? []).filter((version) => isOn(config, version, kind.plural))
    // A kind is stored in its newest version; whoever asks for an older one gets both.
    if (!isOn(config, kind, kind.plural) && others.length === 0) return []
    return [versions === undefined ? kind : { ...alone, versions: others }]
  })
}

/** "KEY=true,KEY=false,...", a key alone meaning true. Throws RuntimeConfigError. */
export function parseRuntimeConfig(text: string): RuntimeConfig {
  const config = new Map<string, boolean>()
  for (const part of text.split(',').map((one) => one.trim())) {
    if (part === '') continue
    const [written = '', value = 'true', ...more] = part.split('=')
    if (more.length > 0 || !/^(true|false|)$/.test(value))
      throw new RuntimeConfigError(`${JSON.stringify(part)}: expected KEY=true or KEY=false`)
    const key = written.replace(/^api\/(v\d)/, '$1')
    const on = value !== 'false'
    check(key, on)
    config.set(key, on)
  }
  return config
}

function check(key: string, on: boolean): void {
  const refuse = (why: string): never => {
    throw new RuntimeConfigError(`${JSON.stringify(key)}: ${why}`)
  }
  const stays = 'stable versions cannot be switched off: the cluster itself needs them'
  if (/^api\/(all|ga|beta|alpha)$/.test(key)) {
    if (!on && (key === 'api/all' || key === 'api/ga')) refuse(stays)
    return
  }
  const offered = allKinds.flatMap((kind) =>
    [kind, ...(kind.versions ?? [])].map((one: Offered) => ({ ...one, plural: kind.plural, stable: one === kind })),
  )
  const matching = offered.filter((one) => key === apiVersionOf(one) || key === `${apiVersionOf(one)}/${one.plural}`)
  if (matching.length === 0) {
    const previews = offered.filter((one) => levelOf(one) !== undefined).map(apiVersionOf)
    refuse(
      `no such group version or resource; expected api/all, api/beta, api/alpha, GROUP/VERSION or GROUP/VERSION/RESOURCE, of ${[...new Set(previews)].sort().join(', ')}`,
    )
  }
  if (!on && matching.some((one) => one.stable && levelOf(one) === undefined)) refuse(stays)
}
