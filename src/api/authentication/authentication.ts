// authentication.k8s.io/v1: questions about who somebody is. None of these kinds is stored; the server answers a create.
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { type FieldError, invalidField } from '../machinery/errors.ts'
import { array, type Infer, int64, map, object, optional, required, string, struct, time } from '../machinery/schema.ts'
import { flag, text, texts } from '../core/scalars.ts'

const AUTH = 'io.k8s.api.authentication.v1.'
export const userInfo = object(`${AUTH}UserInfo`, {
  username: text(1),
  uid: text(2),
  groups: texts(3),
  extra: optional(4, map(array(string(), { wrapped: true }))),
})
export interface UserInfo extends Infer<typeof userInfo> {}

const tokenReviewSchema = kindSchema(`${AUTH}TokenReview`, {
  spec: required(
    2,
    object(`${AUTH}TokenReviewSpec`, {
      token: required(1, string(), { mayBeEmpty: true, pointer: true }),
      audiences: texts(2),
    }),
  ),
  status: struct(
    3,
    object(`${AUTH}TokenReviewStatus`, {
      authenticated: flag(1),
      user: struct(2, userInfo),
      error: text(3),
      audiences: texts(4),
    }),
  ),
})
export interface TokenReview extends ObjectOf<typeof tokenReviewSchema> {}

const tokenRequestSchema = kindSchema(`${AUTH}TokenRequest`, {
  spec: struct(
    2,
    object(`${AUTH}TokenRequestSpec`, {
      audiences: struct(1, array(string(), { listType: 'atomic' })),
      expirationSeconds: optional(4, int64()),
      boundObjectRef: optional(
        3,
        object(`${AUTH}BoundObjectReference`, { kind: text(1), apiVersion: text(2), name: text(3), uid: text(4) }),
      ),
    }),
  ),
  status: struct(
    3,
    object(`${AUTH}TokenRequestStatus`, { token: struct(1, string()), expirationTimestamp: optional(2, time()) }),
  ),
})
export interface TokenRequest extends ObjectOf<typeof tokenRequestSchema> {}

const selfSubjectReviewSchema = kindSchema(`${AUTH}SelfSubjectReview`, {
  status: struct(2, object(`${AUTH}SelfSubjectReviewStatus`, { userInfo: struct(1, userInfo) })),
})
export interface SelfSubjectReview extends ObjectOf<typeof selfSubjectReviewSchema> {}

const common = {
  group: 'authentication.k8s.io',
  version: 'v1',
  namespaced: false,
  verbs: ['create'],
  nameRule: 'none',
  storagePrefix: '',
} as const

export const tokenReviews = defineKind<TokenReview>({
  ...common,
  kind: 'TokenReview',
  plural: 'tokenreviews',
  singular: 'tokenreview',
  schema: tokenReviewSchema,
})
export const selfSubjectReviews = defineKind<SelfSubjectReview>({
  ...common,
  kind: 'SelfSubjectReview',
  plural: 'selfsubjectreviews',
  singular: 'selfsubjectreview',
  schema: selfSubjectReviewSchema,
})

/** The body of serviceaccounts/NAME/token; a subresource, not a resource of its own. */
export const tokenRequests = defineKind<TokenRequest>({
  ...common,
  namespaced: true,
  kind: 'TokenRequest',
  plural: 'tokenrequests',
  singular: 'tokenrequest',
  schema: tokenRequestSchema,
  setDefaults: ({ spec }) => {
    spec.expirationSeconds ??= 3600
  },
  validate: ({ spec }): FieldError[] => {
    const seconds = spec.expirationSeconds ?? 3600
    if (seconds < 600)
      return [invalidField('spec.expirationSeconds', seconds, 'may not specify a duration less than 10 minutes')]
    return seconds > 2 ** 32
      ? [invalidField('spec.expirationSeconds', seconds, 'may not specify a duration larger than 2^32 seconds')]
      : []
  },
})
