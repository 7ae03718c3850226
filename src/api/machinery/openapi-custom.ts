// The published form of a custom resource: what its author wrote, in the words of each dialect. v3 says nearly all of it;
// v2 has no anyOf and its kin, no nullable and no defaults, and where a type would then say too much it is left out.
import { objectMeta } from './meta.ts'
import type { Definitions, Dialect } from './openapi-schema.ts'
import type { Json, JsonObject } from './schema.ts'

type Out = Record<string, Json>
const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Words of v3 only. */
const v3Only = new Set(['default', 'nullable', 'allOf', 'anyOf', 'oneOf', 'not'])
/** Words that stand below a type, and go with it. */
const underType = new Set(['type', 'properties', 'items', 'additionalProperties'])

/** The root of a custom resource: its author's schema with apiVersion, kind and metadata as every object has them. */
export function publishedRoot(
  props: JsonObject,
  dialect: Dialect,
  definitions: Pick<Definitions, 'refer'>,
): JsonObject {
  // v2 cannot say "and anything else" of a whole object: nothing is said then.
  if (dialect === 'v2' && props['x-kubernetes-preserve-unknown-fields'] === true) return { type: 'object' }
  const body = publish(props, dialect, definitions)
  return {
    ...body,
    type: 'object',
    properties: {
      ...(isObject(body['properties']) ? body['properties'] : {}),
      apiVersion: {
        description: 'APIVersion defines the group and version that this object is written in.',
        type: 'string',
      },
      kind: { description: 'Kind is the name of what this object is, in CamelCase.', type: 'string' },
      metadata: metadataOf(dialect, definitions),
    },
  }
}
function metadataOf(dialect: Dialect, definitions: Pick<Definitions, 'refer'>): JsonObject {
  const reference = definitions.refer(objectMeta)
  const description = "Standard object's metadata: name, labels, owners and what the server keeps."
  return dialect === 'v2' ? { description, ...reference } : { description, allOf: [reference] }
}

function publish(props: JsonObject, dialect: Dialect, definitions: Pick<Definitions, 'refer'>): JsonObject {
  const v2 = dialect === 'v2'
  const untyped = v2 && (props['nullable'] === true || props['x-kubernetes-preserve-unknown-fields'] === true)
  const out: Out = {}
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || (v2 && v3Only.has(key)) || (untyped && underType.has(key))) continue
    out[key] = publishMember(key, value, dialect, definitions)
  }
  if (props['x-kubernetes-embedded-resource'] !== true || untyped) return out
  const required = Array.isArray(out['required']) ? (out['required'] as readonly string[]) : []
  return {
    ...out,
    required: [...new Set([...required, 'kind', 'apiVersion'])],
    properties: {
      ...(isObject(out['properties']) ? out['properties'] : {}),
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: metadataOf(dialect, definitions),
    },
  }
}

function publishMember(key: string, value: Json, dialect: Dialect, definitions: Pick<Definitions, 'refer'>): Json {
  const one = (inner: Json): Json => (isObject(inner) ? publish(inner, dialect, definitions) : inner)
  switch (key) {
    case 'properties':
      return isObject(value) ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, one(v as Json)])) : value
    case 'items':
    case 'additionalProperties':
    case 'not':
      return one(value)
    case 'allOf':
    case 'anyOf':
    case 'oneOf':
      return Array.isArray(value) ? (value as readonly Json[]).map(one) : value
    default:
      return value
  }
}
