// The small rules that many kinds share. `isX(value)` answers upstream's sentences, none when the value is good;
// `validateX(value, field)` answers field errors.
import { type FieldError, invalidField, requiredField, tooLongField } from './errors.ts'
import { parseIp } from './ip.ts'
import type { LabelSelector } from './meta.ts'
import type { Json } from './schema.ts'

export type Sentences = readonly string[]

const maxBytes = (limit: number): string => `must be no more than ${limit} bytes`
const emptyError = 'must be non-empty'
/** How upstream tells of a pattern: the sentence, examples, the pattern. */
function patternError(sentence: string, pattern: string, ...examples: readonly string[]): string {
  if (examples.length === 0) return `${sentence} (regex used for validation is '${pattern}')`
  const list = examples.map((example) => `'${example}'`).join(',  or ')
  return `${sentence} (e.g. ${list}, regex used for validation is '${pattern}')`
}
const exactly = (pattern: string): RegExp => new RegExp(`^(?:${pattern})$`)
/** Backtracking on these patterns is quadratic in the worst case; what is far too long anyway is not tried. */
const fits = (pattern: RegExp, value: string): boolean => value.length <= 1024 && pattern.test(value)

const label1123 = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
const label1123Error =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character"
const label1123Pattern = exactly(label1123)
/** metadata.name of Services, namespaces, container names ... */
export function isDns1123Label(value: string): Sentences {
  const errors: string[] = []
  if (value.length > 63) errors.push(maxBytes(63))
  if (!fits(label1123Pattern, value)) errors.push(patternError(label1123Error, label1123, 'my-name', '123-abc'))
  return errors
}

const subdomain = `${label1123}(\\.${label1123})*`
const subdomainError =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
const subdomainPattern = exactly(subdomain)
/** metadata.name of most kinds. */
export function isDns1123Subdomain(value: string): Sentences {
  const errors: string[] = []
  if (value.length > 253) errors.push(maxBytes(253))
  if (!fits(subdomainPattern, value)) errors.push(patternError(subdomainError, subdomain, 'example.com'))
  return errors
}
const label1035 = '[a-z]([-a-z0-9]*[a-z0-9])?'
const label1035Pattern = exactly(label1035)
/** metadata.name of Services. */
export function isDns1035Label(value: string): Sentences {
  const errors: string[] = []
  if (value.length > 63) errors.push(maxBytes(63))
  if (!fits(label1035Pattern, value)) {
    errors.push(
      patternError(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
        label1035,
        'my-name',
        'abc-123',
      ),
    )
  }
  return errors
}
const wildcard = `\\*\\.${subdomain}`
const wildcardPattern = exactly(wildcard)
export function isWildcardDns1123Subdomain(value: string): Sentences {
  const errors: string[] = []
  if (value.length > 253) errors.push(maxBytes(253))
  if (!fits(wildcardPattern, value)) {
    errors.push(
      patternError(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
        wildcard,
        '*.example.com',
      ),
    )
  }
  return errors
}
const nameChars = '[-A-Za-z0-9_.]'
const qualified = `([A-Za-z0-9]${nameChars}*)?[A-Za-z0-9]`
const qualifiedPattern = exactly(qualified)
const qualifiedError =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
/** Keys of labels, annotations, taints, resources: an optional DNS subdomain, a slash, a name. */
export function isQualifiedName(value: string): Sentences {
  const errors: string[] = []
  const parts = value.split('/')
  let name = value
  if (parts.length === 2) {
    const prefix = parts[0] ?? ''
    name = parts[1] ?? ''
    if (prefix === '') errors.push(`prefix part ${emptyError}`)
    else errors.push(...isDns1123Subdomain(prefix).map((message) => `prefix part ${message}`))
  } else if (parts.length > 2) {
    return [
      `a qualified name ${patternError(qualifiedError, qualified, 'MyName', 'my.name', '123-abc')} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ]
  }
  if (name === '') errors.push(`name part ${emptyError}`)
  else if (name.length > 63) errors.push(`name part ${maxBytes(63)}`)
  if (!fits(qualifiedPattern, name)) {
    errors.push(`name part ${patternError(qualifiedError, qualified, 'MyName', 'my.name', '123-abc')}`)
  }
  return errors
}
const labelValue = `(${qualified})?`
const labelValuePattern = exactly(labelValue)
export function isValidLabelValue(value: string): Sentences {
  const errors: string[] = []
  if (value.length > 63) errors.push(maxBytes(63))
  if (!fits(labelValuePattern, value)) {
    errors.push(
      patternError(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        labelValue,
        'MyValue',
        'my_value',
        '12345',
      ),
    )
  }
  return errors
}

const cIdentifier = '[A-Za-z_][A-Za-z0-9_]*'
export function isCIdentifier(value: string): Sentences {
  return exactly(cIdentifier).test(value)
    ? []
    : [
        patternError(
          "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
          cIdentifier,
          'my_name',
          'MY_NAME',
          'MyName',
        ),
      ]
}
/** Environment variable names: any printable ASCII but "=". */
export function isEnvVarName(value: string): Sentences {
  if (value === '') return ['environment variable name must be non-empty']
  return /^[ -<>-~]+$/.test(value)
    ? []
    : ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
}
const configMapKey = '[-._a-zA-Z0-9]+'
const configMapKeyPattern = exactly(configMapKey)
/** Keys of ConfigMaps and Secrets: also file names. */
export function isConfigMapKey(value: string): Sentences {
  const errors: string[] = []
  if (value.length > 253) errors.push(maxBytes(253))
  if (!configMapKeyPattern.test(value)) {
    errors.push(
      patternError(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        configMapKey,
        'key.name',
        'KEY_NAME',
        'key-name',
      ),
    )
  } else if (value === '.') errors.push("must not be '.'")
  else if (value === '..') errors.push("must not be '..'")
  else if (value.startsWith('..')) errors.push("must not start with '..'")
  return errors
}
const headerName = '[-A-Za-z0-9]+'
export function isHttpHeaderName(value: string): Sentences {
  return exactly(headerName).test(value)
    ? []
    : [patternError("a valid HTTP header must consist of alphanumeric characters or '-'", headerName, 'X-Header-Name')]
}

/** 1 to 65535. */
export const isValidPortNumber = (port: number): Sentences => (port >= 1 && port <= 65535 ? [] : [inRange(1, 65535)])
const inRange = (low: number, high: number): string => `must be between ${low} and ${high}, inclusive`
export const isInRange = (value: number, low: number, high: number): Sentences =>
  value >= low && value <= high ? [] : [inRange(low, high)]
/** Names of container ports (IANA service names). */
export function isValidPortName(port: string): Sentences {
  const errors: string[] = []
  if (port.length > 15) errors.push(maxBytes(15))
  if (!/^[-a-z0-9]+$/.test(port)) errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)')
  if (!/[a-z]/.test(port)) errors.push('must contain at least one letter (a-z)')
  if (port.includes('--')) errors.push('must not contain consecutive hyphens')
  if (port.startsWith('-') || port.endsWith('-')) errors.push('must not begin or end with a hyphen')
  return errors
}
export const isValidPercent = (percent: string): Sentences =>
  /^[0-9]+%$/.test(percent)
    ? []
    : [
        patternError(
          "a valid percent string must be a numeric string followed by an ending '%'",
          '[0-9]+%',
          '1%',
          '93%',
        ),
      ]
export const isValidGroupOrUserId = (id: number): Sentences => isInRange(id, 0, 2147483647)
/** 0 to 0777 for file modes. */
export const isValidFileMode = (mode: number): Sentences =>
  mode >= 0 && mode <= 0o777 ? [] : ['must be a number between 0 and 0777 (octal), both inclusive']

/** An IPv4 or IPv6 address. */
export const isValidIp = (value: string): Sentences =>
  parseIp(value) === undefined ? ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'] : []
export { canonicalIp, cidrContains, parseCidr, parseIp, validateCidr } from './ip.ts'

const nonNegative = 'must be greater than or equal to 0'
export const validateNonNegative = (value: number, field: string): readonly FieldError[] =>
  value < 0 ? [invalidField(field, value, nonNegative)] : []
/** "field is immutable" where the two differ. `same` decides. */
export const immutableField = (field: string, value: Json | undefined, same: boolean): readonly FieldError[] =>
  same ? [] : [invalidField(field, value, 'field is immutable')]
/** A whole number or a percentage, as maxSurge takes it. */
export function validateIntOrPercent(value: number | string, field: string): readonly FieldError[] {
  if (typeof value === 'number') return validateNonNegative(value, field)
  return isValidPercent(value).map((message) => invalidField(field, value, message))
}
export const validatePortNumberOrName = (port: number | string, field: string): readonly FieldError[] =>
  (typeof port === 'number' ? isValidPortNumber(port) : isValidPortName(port)).map((message) =>
    invalidField(field, port, message),
  )

export const validateLabelKey = (key: string, field: string): readonly FieldError[] =>
  isQualifiedName(key).map((message) => invalidField(field, key, message))
/** A map of labels. */
export function validateLabels(labels: Readonly<Record<string, string>> | undefined, field: string): FieldError[] {
  const errors: FieldError[] = []
  for (const key in labels) {
    errors.push(...validateLabelKey(key, field))
    const value = labels[key] ?? ''
    for (const message of isValidLabelValue(value)) errors.push(invalidField(field, value, message))
  }
  return errors
}
const annotationLimit = 256 * 1024
export function validateAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = []
  let bytes = 0
  for (const key in annotations) {
    errors.push(...isQualifiedName(key.toLowerCase()).map((message) => invalidField(field, key, message)))
    bytes += utf8Length(key) + utf8Length(annotations[key] ?? '')
  }
  if (bytes > annotationLimit) errors.push(tooLongField(field, annotationLimit))
  return errors
}
/** The length of a text in UTF-8. */
export function utf8Length(text: string): number {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c < 0x80) continue
    if (c < 0x800) bytes += 1
    else if (c >= 0xd800 && c < 0xdc00 && i + 1 < text.length) {
      bytes += 2
      i++
    } else bytes += 2
  }
  return bytes
}

/** A LabelSelector of an object. */
export function validateLabelSelector(
  selector: LabelSelector | undefined,
  field: string,
  options: { readonly allowInvalidValues?: boolean } = {},
): readonly FieldError[] {
  if (selector === undefined) return []
  const errors: FieldError[] = validateLabels(selector.matchLabels, `${field}.matchLabels`)
  selector.matchExpressions?.forEach((expression, i) => {
    const at = `${field}.matchExpressions[${i}]`
    const { key, operator, values = [] } = expression
    if (operator === 'In' || operator === 'NotIn') {
      if (values.length === 0) {
        errors.push(requiredField(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"))
      }
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      if (values.length > 0) {
        errors.push({
          type: 'FieldValueForbidden',
          field: `${at}.values`,
          message: "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        })
      }
    } else errors.push(invalidField(`${at}.operator`, operator, 'not a valid selector operator'))
    errors.push(...validateLabelKey(key, `${at}.key`))
    if (options.allowInvalidValues !== true) {
      values.forEach((value, j) => {
        for (const message of isValidLabelValue(value)) errors.push(invalidField(`${at}.values[${j}]`, value, message))
      })
    }
  })
  return errors
}

/** metadata.name where the name is one element of a path (RBAC names, CSRs ...). */
export function isValidPathSegmentName(name: string): Sentences {
  if (name === '.') return ["may not be '.'"]
  if (name === '..') return ["may not be '..'"]
  const errors: string[] = []
  for (const illegal of ['/', '%']) if (name.includes(illegal)) errors.push(`may not contain '${illegal}'`)
  return errors
}
