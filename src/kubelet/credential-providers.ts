// Registry credentials from programs of the operator (exec plugins): asked for images that match, remembered as long as they
// say. https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/
import { parseDuration } from '../api/machinery/duration.ts'
import { parseYaml } from '../api/machinery/parse.ts'
import type { Clock } from '../ports/clock.ts'
import type { RegistryAuth } from '../ports/container-runtime.ts'
import type { Disk } from '../ports/disk.ts'
import type { Log } from '../ports/log.ts'
import type { Programs } from '../ports/programs.ts'
import { fits, longestFirst } from './credentials.ts'
import { registryPath } from './image-reference.ts'

const apiVersions = ['v1', 'v1beta1', 'v1alpha1']
const requestGroup = 'credentialprovider.kubelet.k8s.io'
const configGroup = 'kubelet.config.k8s.io'
const answerMs = 60_000

interface Provider {
  readonly name: string
  readonly matchImages: readonly string[]
  readonly defaultCacheMs: number
  readonly apiVersion: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}
type Table = Readonly<Record<string, unknown>>
const isTable = (value: unknown): value is Table => typeof value === 'object' && value !== null && !Array.isArray(value)
const texts = (value: unknown): readonly string[] | undefined =>
  Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : undefined

/** The providers that a CredentialProviderConfig names. Throws with every problem, one a line. */
export function readCredentialProviders(content: string): readonly Provider[] {
  const { value } = parseYaml(content, { duplicates: false })
  const { apiVersion, kind, providers } = isTable(value) ? value : {}
  if (kind !== 'CredentialProviderConfig' || !apiVersions.some((v) => apiVersion === `${configGroup}/${v}`))
    throw new Error(
      `expected a CredentialProviderConfig of ${configGroup}/v1, found ${JSON.stringify(kind)} of ${JSON.stringify(apiVersion)}`,
    )
  if (!Array.isArray(providers) || providers.length === 0) throw new Error('providers: at least 1 item is required')
  const problems: string[] = []
  const read = providers.map((entry: unknown, i): Provider => {
    const said = isTable(entry) ? entry : {}
    const wrong = (field: string, what: string) => problems.push(`providers[${i}].${field}: ${what}`)
    const name = typeof said['name'] === 'string' ? said['name'] : ''
    if (name === '' || /[/\s]|^\.\.?$/.test(name)) wrong('name', 'expected the name of a program, without a path')
    const matchImages = texts(said['matchImages']) ?? []
    if (matchImages.length === 0) wrong('matchImages', 'at least 1 item is required')
    const cache = parseDuration(String(said['defaultCacheDuration']))
    if (cache === undefined || cache < 0) wrong('defaultCacheDuration', 'expected a duration such as 10m')
    const version = String(said['apiVersion'])
    if (!apiVersions.some((v) => version === `${requestGroup}/${v}`)) wrong('apiVersion', `expected ${requestGroup}/v1`)
    const variables = Array.isArray(said['env']) ? said['env'].filter(isTable) : []
    return {
      name,
      matchImages,
      defaultCacheMs: cache ?? 0,
      apiVersion: version,
      args: texts(said['args']) ?? [],
      env: Object.fromEntries(variables.map((v) => [String(v['name']), String(v['value'])])),
    }
  })
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return read
}

interface Answer {
  readonly auths: readonly (readonly [pattern: string, auth: RegistryAuth])[]
  readonly untilMs: number
}
export interface CredentialProvidersOptions {
  /** Undefined: no providers. */
  readonly configFile: string | undefined
  readonly binDirectory: string | undefined
  /** Undefined where the node runs no programs. */
  readonly programs: Programs | undefined
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
}

export class CredentialProviders {
  readonly #options: CredentialProvidersOptions
  #providers: readonly Provider[] = []
  readonly #answers = new Map<string, Answer>()
  /** Questions under way, by provider and image. */
  readonly #asking = new Map<string, Promise<readonly RegistryAuth[]>>()
  constructor(options: CredentialProvidersOptions) {
    this.#options = options
  }
  /** Throws when the configuration is wrong. */
  async start(): Promise<void> {
    const { configFile, binDirectory, disk } = this.#options
    if (configFile === undefined) return
    if (binDirectory === undefined) throw new Error('credential providers need the folder of their programs')
    const content = await disk.readFile(configFile)
    if (content === undefined) throw new Error(`cannot read ${configFile}: there is no such file`)
    try {
      this.#providers = readCredentialProviders(new TextDecoder().decode(content))
    } catch (error) {
      throw new Error(`${configFile}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
    for (const { name } of this.#providers)
      if ((await disk.stat(`${binDirectory}/${name}`)) === undefined)
        throw new Error(`${configFile}: there is no program ${binDirectory}/${name}`)
  }
  async for(image: string): Promise<readonly RegistryAuth[]> {
    const path = registryPath(image)
    const asked = this.#providers.filter(({ matchImages }) => matchImages.some((pattern) => fits(pattern, path)))
    return (await Promise.all(asked.map((provider) => this.#from(provider, image)))).flat()
  }

  #from(provider: Provider, image: string): Promise<readonly RegistryAuth[]> {
    const key = `${provider.name} ${image}`
    let asking = this.#asking.get(key)
    asking ??= this.#ask(provider, image).finally(() => this.#asking.delete(key))
    this.#asking.set(key, asking)
    return asking
  }
  /** Boundary: a provider that fails gives nothing; the pull then fails and says so. */
  async #ask(provider: Provider, image: string): Promise<readonly RegistryAuth[]> {
    const { programs, clock, log, binDirectory } = this.#options
    const path = registryPath(image)
    const registry = path.split('/')[0] ?? ''
    const keys = { Image: image, Registry: registry, Global: '' }
    const keyOf = (type: keyof typeof keys) => `${provider.name} ${type} ${keys[type]}`
    for (const type of ['Image', 'Registry', 'Global'] as const) {
      const known = this.#answers.get(keyOf(type))
      if (known !== undefined && known.untilMs > clock.monotonic()) return fitting(known, path)
    }
    if (programs === undefined) return []
    try {
      const question = { apiVersion: provider.apiVersion, kind: 'CredentialProviderRequest', image }
      const options = { input: JSON.stringify(question), env: provider.env, timeoutMs: answerMs }
      const said: unknown = JSON.parse(await programs.run(`${binDirectory}/${provider.name}`, provider.args, options))
      const { type, answer } = readAnswer(said, provider, clock.monotonic())
      this.#answers.set(keyOf(type), answer)
      return fitting(answer, path)
    } catch (error) {
      log.warn('a credential provider failed', { provider: provider.name, image, error: String(error) })
      return []
    }
  }
}
const fitting = ({ auths }: Answer, path: string): readonly RegistryAuth[] =>
  auths.filter(([pattern]) => fits(pattern, path)).map(([, auth]) => auth)

function readAnswer(said: unknown, provider: Provider, nowMs: number) {
  const { apiVersion, kind, cacheKeyType, cacheDuration, auth } = isTable(said) ? said : {}
  if (apiVersion !== provider.apiVersion || kind !== 'CredentialProviderResponse')
    throw new Error(`expected a CredentialProviderResponse of ${provider.apiVersion}`)
  if (cacheKeyType !== 'Image' && cacheKeyType !== 'Registry' && cacheKeyType !== 'Global')
    throw new Error(`cacheKeyType is Image, Registry or Global, not ${String(cacheKeyType)}`)
  const asked = typeof cacheDuration === 'string' ? parseDuration(cacheDuration) : undefined
  const cacheMs = cacheDuration === undefined ? provider.defaultCacheMs : asked
  if (cacheMs === undefined) throw new Error(`cacheDuration ${JSON.stringify(cacheDuration)} is no duration`)
  const auths = Object.entries(isTable(auth) ? auth : {}).flatMap(([pattern, entry]) => {
    const { username, password } = isTable(entry) ? entry : {}
    if (typeof username !== 'string' || typeof password !== 'string') return []
    return [[pattern, { username, password }] as const]
  })
  auths.sort(([a], [b]) => longestFirst(a, b))
  const answer: Answer = { auths, untilMs: nowMs + cacheMs }
  return { type: cacheKeyType, answer } as const
}
