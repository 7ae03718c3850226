// Image names as containers are asked for: [registry[:port]/]path[:tag][@digest], with "latest" where nothing is said.

export type ParsedImage =
  | {
      readonly ok: true
      readonly repository: string
      readonly tag: string | undefined
      readonly digest: string | undefined
    }
  | { readonly ok: false; readonly error: string }

const domain =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/
const pathPart = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const tagShape = /^\w[\w.-]{0,127}$/
const digestShape = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/
const badFormat = 'invalid reference format'

export function parseImage(name: string): ParsedImage {
  const fail = (error: string): ParsedImage => ({ ok: false, error })
  if (name === '') return fail(badFormat)
  let rest = name
  let digest: string | undefined
  const at = rest.indexOf('@')
  if (at !== -1) {
    digest = rest.slice(at + 1)
    rest = rest.slice(0, at)
    if (!digestShape.test(digest)) return fail(badFormat)
  }
  let tag: string | undefined
  const colon = rest.lastIndexOf(':')
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1)
    rest = rest.slice(0, colon)
    if (!tagShape.test(tag)) return fail(badFormat)
  }
  const slash = rest.indexOf('/')
  const first = slash === -1 ? '' : rest.slice(0, slash)
  const hasDomain = first !== '' && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first)
  const path = hasDomain ? rest.slice(slash + 1) : rest
  if (hasDomain && !domain.test(first)) return fail(badFormat)
  const parts = path.split('/')
  if (!parts.every((part) => pathPart.test(part))) {
    const lowered = path.toLowerCase().split('/')
    if (path !== path.toLowerCase() && lowered.every((part) => pathPart.test(part))) {
      const shown = hasDomain ? path : parts.length === 1 ? `library/${path}` : path
      return fail(`${badFormat}: repository name (${shown}) must be lowercase`)
    }
    return fail(badFormat)
  }
  if (/^[0-9a-f]{64}$/.test(name))
    return fail(`invalid repository name (${name}), cannot specify 64-byte hexadecimal strings`)
  return { ok: true, repository: rest, tag, digest }
}

/** The name with ":latest" where it has neither tag nor digest, or what is wrong with it. */
export function applyDefaultTag(
  image: string,
): { readonly ok: true; readonly image: string } | { readonly ok: false; readonly message: string } {
  const parsed = parseImage(image)
  if (!parsed.ok)
    return {
      ok: false,
      message: `Failed to apply default image tag "${image}": couldn't parse image name "${image}": ${parsed.error}`,
    }
  const bare = parsed.tag === undefined && parsed.digest === undefined
  return { ok: true, image: bare ? `${image}:latest` : image }
}

/** registry/path as credentials are looked up: Docker Hub's short names written out. */
export function registryPath(image: string): string {
  const parsed = parseImage(image)
  const repository = parsed.ok ? parsed.repository : image
  const slash = repository.indexOf('/')
  const first = slash === -1 ? '' : repository.slice(0, slash)
  if (first !== '' && (/[.:]/.test(first) || first === 'localhost')) return repository
  return slash === -1 ? `docker.io/library/${repository}` : `docker.io/${repository}`
}
