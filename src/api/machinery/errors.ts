// One error type for the whole API. The reason decides the HTTP status through a single table; the wording is the one
// that kubectl, client libraries and scripts know from upstream.
import type { Status } from './meta.ts'
import type { Json } from './schema.ts'

/** HTTP status by reason (metav1.StatusReason). */
export const statusCodes = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  NotImplemented: 501,
  ServiceUnavailable: 503,
  ServerTimeout: 500,
  /** Upstream's answer where it says why and nothing more: the reason is left out. */
  Unknown: 500,
  Timeout: 504,
} as const
export type Reason = keyof typeof statusCodes

export interface Cause {
  readonly reason?: string
  readonly message?: string
  readonly field?: string
}
export interface ErrorDetails {
  readonly group?: string
  /** The resource's plural for most errors, the Kind for Invalid, as upstream. */
  readonly kind?: string
  readonly name?: string
  readonly uid?: string
  readonly causes?: readonly Cause[]
  readonly retryAfterSeconds?: number
}

/** An error that a client may see. Anything else thrown inside the server is a defect and becomes InternalError. */
export class ApiError extends Error {
  readonly reason: Reason
  readonly details: ErrorDetails | undefined
  readonly code: number
  constructor(reason: Reason, message: string, details?: ErrorDetails, code: number = statusCodes[reason]) {
    super(message)
    this.name = 'ApiError'
    this.reason = reason
    this.details = details
    this.code = code
  }
  /** The metav1.Status body. */
  toStatus(): Status {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      ...(this.reason === 'Unknown' ? {} : { reason: this.reason }),
      ...(this.details ? { details: this.details } : {}),
      code: this.code,
    }
  }
}

export const isReason = (error: unknown, reason: Reason): boolean =>
  error instanceof ApiError && error.reason === reason

/** "pods" or "deployments.apps": how upstream names a resource in messages. */
export interface ResourceName {
  readonly group: string
  readonly resource: string
}
const qualified = (r: ResourceName) => (r.group === '' ? r.resource : `${r.resource}.${r.group}`)
const detailsOf = (r: ResourceName, name: string): ErrorDetails => ({
  ...(name === '' ? {} : { name }),
  ...(r.group === '' ? {} : { group: r.group }),
  kind: r.resource,
})

export const notFound = (r: ResourceName, name: string) =>
  new ApiError('NotFound', `${qualified(r)} "${name}" not found`, detailsOf(r, name))
export const alreadyExists = (r: ResourceName, name: string) =>
  new ApiError('AlreadyExists', `${qualified(r)} "${name}" already exists`, detailsOf(r, name))
export const conflict = (r: ResourceName, name: string, why: string) =>
  new ApiError('Conflict', `Operation cannot be fulfilled on ${qualified(r)} "${name}": ${why}`, detailsOf(r, name))
/** The answer to a stale resourceVersion. */
export const modified = (r: ResourceName, name: string) =>
  conflict(r, name, 'the object has been modified; please apply your changes to the latest version and try again')
export const forbidden = (r: ResourceName, name: string, why: string) =>
  new ApiError(
    'Forbidden',
    name === '' ? `${qualified(r)} is forbidden: ${why}` : `${qualified(r)} "${name}" is forbidden: ${why}`,
    detailsOf(r, name),
  )
export const badRequest = (message: string) => new ApiError('BadRequest', message)
export const unauthorized = () => new ApiError('Unauthorized', 'Unauthorized')
export const expired = (message: string) => new ApiError('Expired', message)

/** The kinds of field error and the words they begin with (field.Error of apimachinery's validation). */
const fieldErrorWords = {
  FieldValueRequired: 'Required value',
  FieldValueDuplicate: 'Duplicate value',
  FieldValueInvalid: 'Invalid value',
  FieldValueForbidden: 'Forbidden',
  FieldValueNotFound: 'Not found',
  FieldValueNotSupported: 'Unsupported value',
  FieldValueTooLong: 'Too long',
  FieldValueTooMany: 'Too many',
  FieldValueTypeInvalid: 'Invalid value',
  InternalError: 'Internal error',
} as const
export interface FieldError {
  readonly type: keyof typeof fieldErrorWords
  /** Such as spec.containers[0].image or metadata.labels[app]. */
  readonly field: string
  readonly message: string
}
/** How upstream prints a bad value: strings quoted, objects as JSON. */
export const printValue = (value: Json | undefined): string => (value === undefined ? 'null' : JSON.stringify(value))

const make = (type: FieldError['type'], field: string, rest: string): FieldError => ({
  type,
  field,
  message: rest === '' ? fieldErrorWords[type] : `${fieldErrorWords[type]}: ${rest}`,
})
export const requiredField = (field: string, detail = '') => make('FieldValueRequired', field, detail)
export const invalidField = (field: string, value: Json | undefined, detail: string) =>
  make('FieldValueInvalid', field, detail === '' ? printValue(value) : `${printValue(value)}: ${detail}`)
export const typeInvalidField = (field: string, value: Json | undefined, detail: string) =>
  make('FieldValueTypeInvalid', field, `${printValue(value)}: ${detail}`)
export const duplicateField = (field: string, value: Json | undefined) =>
  make('FieldValueDuplicate', field, printValue(value))
export const forbiddenField = (field: string, detail: string) => make('FieldValueForbidden', field, detail)
export const notFoundField = (field: string, value: Json | undefined) =>
  make('FieldValueNotFound', field, printValue(value))
export const notSupportedField = (field: string, value: Json | undefined, supported: readonly string[]) =>
  make(
    'FieldValueNotSupported',
    field,
    supported.length === 0
      ? printValue(value)
      : `${printValue(value)}: supported values: ${[...supported]
          .sort()
          .map((v) => JSON.stringify(v))
          .join(', ')}`,
  )
export const tooLongField = (field: string, maxLength: number) =>
  make('FieldValueTooLong', field, `may not be more than ${maxLength} bytes`)
export const tooManyField = (field: string, count: number, max: number) =>
  make('FieldValueTooMany', field, `${count}: must have at most ${max} items`)

/** 422 Invalid with one cause per field error; a single error is not bracketed, several are. */
export function invalid(group: string, kind: string, name: string, errors: readonly FieldError[]): ApiError {
  const lines = errors.map((e) => `${e.field}: ${e.message}`)
  const unique = [...new Set(lines)]
  const what = unique.length === 1 ? unique[0] : `[${unique.join(', ')}]`
  const qualifiedKind = group === '' ? kind : `${kind}.${group}`
  return new ApiError('Invalid', `${qualifiedKind} "${name}" is invalid: ${what}`, {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    ...(kind === '' ? {} : { kind }),
    causes: errors.map((e) => ({ reason: e.type, message: e.message, field: e.field })),
  })
}
