// Where a webhook is reached: the same for admission webhooks and for conversion webhooks of custom resources.
import { type FieldError, invalidField, requiredField } from '../machinery/errors.ts'
import { isDns1123Subdomain } from '../machinery/validation.ts'

interface ClientConfig {
  readonly url?: string | undefined
  readonly service?:
    | {
        readonly namespace: string
        readonly name: string
        readonly path?: string | undefined
        readonly port?: number | undefined
      }
    | undefined
}

/** https, no user info, fragment or query. */
function validateUrl(url: string, at: string): FieldError[] {
  if (!URL.canParse(url))
    return [invalidField(at, url, `url must be a valid URL: ${url}; desired format: https://host[/path]`)]
  const parsed = new URL(url)
  const errors: FieldError[] = []
  const bad = (message: string) => errors.push(invalidField(at, url, message))
  if (parsed.protocol !== 'https:') bad(`'https' is the only allowed URL scheme; desired format: https://host[/path]`)
  if (parsed.host === '') bad('host must be specified; desired format: https://host[/path]')
  if (parsed.username !== '') bad('user information is not permitted in the URL')
  if (parsed.hash !== '') bad('fragments are not permitted in the URL')
  if (parsed.search !== '') bad('query parameters are not permitted in the URL')
  return errors
}

/** Where a webhook is: a URL or a Service. */
export function validateClientConfig(c: ClientConfig, at: string): FieldError[] {
  const errors: FieldError[] = []
  if ((c.url === undefined) === (c.service === undefined))
    return [requiredField(at, 'exactly one of url or service is required')]
  if (c.url !== undefined) errors.push(...validateUrl(c.url, `${at}.url`))
  if (c.service !== undefined) {
    if (c.service.name === '') errors.push(requiredField(`${at}.service.name`))
    if (c.service.namespace === '') errors.push(requiredField(`${at}.service.namespace`))
    const { port = 443, path } = c.service
    if (port < 1 || port > 65535)
      errors.push(invalidField(`${at}.service.port`, port, 'port is not valid: must be between 1 and 65535, inclusive'))
    if (path !== undefined) errors.push(...validatePath(path, `${at}.service.path`))
  }
  return errors
}

function validatePath(path: string, at: string): FieldError[] {
  if (path === '' || path === '/') return []
  const errors: FieldError[] = []
  const bad = (message: string) => errors.push(invalidField(at, path, message))
  if (!path.startsWith('/')) bad(`must start with a '/'`)
  path
    .replace(/\/$/, '')
    .split('/')
    .slice(1)
    .forEach((segment, i) => {
      if (segment === '') bad(`segment[${i}] may not be empty`)
      else for (const message of isDns1123Subdomain(segment)) bad(`segment[${i}]: ${message}`)
    })
  if (!path.includes('/')) bad('segment[0] may not be empty')
  return errors
}
