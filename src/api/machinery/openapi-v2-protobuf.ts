// The OpenAPI v2 document as protobuf, which is the only form that kubectl and client-go ask for. The message types are
// those of gnostic's OpenAPIv2.proto (https://github.com/google/gnostic): its members are tables here, and one encoder
// walks the JSON document along them.
import { FIXED64, VARINT, Writer } from './protobuf-wire.ts'
import type { Json, JsonObject } from './schema.ts'

/** How the answer is labelled; clients ask with an @ in place of the dot before v1.0, which no media type may hold. */
export const openApiV2MediaType = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'

type Encode = (writer: Writer, tag: number, value: Json) => void
type Members = Readonly<Record<string, readonly [tag: number, encode: Encode]>>
interface Message {
  readonly members: Members
  /** Field of x- members; 0 for messages without them. */
  readonly extensions: number
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const string: Encode = (writer, tag, value) => {
  const mark = writer.mark()
  writer.string(typeof value === 'string' ? value : JSON.stringify(value))
  writer.header(tag, mark)
}
const strings: Encode = (writer, tag, value) => {
  if (!Array.isArray(value)) return string(writer, tag, value)
  for (const item of (value as readonly Json[]).toReversed()) string(writer, tag, item)
}
const boolean: Encode = (writer, tag, value) => {
  if (value !== true) return
  writer.varint(1)
  writer.tag(tag, VARINT)
}
const integer: Encode = (writer, tag, value) => {
  if (typeof value !== 'number' || value === 0) return
  writer.varint(value)
  writer.tag(tag, VARINT)
}
const double: Encode = (writer, tag, value) => {
  if (typeof value !== 'number' || value === 0) return
  writer.double(value)
  writer.tag(tag, FIXED64)
}
/** Any: its text as YAML, of which JSON is a part. */
const anything: Encode = (writer, tag, value) => {
  const mark = writer.mark()
  string(writer, 2, JSON.stringify(value))
  writer.header(tag, mark)
}
const anythings: Encode = (writer, tag, value) => {
  for (const item of (Array.isArray(value) ? (value as readonly Json[]) : []).toReversed()) anything(writer, tag, item)
}
/** A nested message, looked up when it is needed: the types refer to one another. */
const message =
  (type: () => Message): Encode =>
  (writer, tag, value) => {
    const mark = writer.mark()
    encodeInto(writer, type(), value)
    writer.header(tag, mark)
  }
const messages =
  (type: () => Message): Encode =>
  (writer, tag, value) => {
    for (const item of (Array.isArray(value) ? (value as readonly Json[]) : []).toReversed())
      message(type)(writer, tag, item)
  }
/** A message around one alternative (a oneof). */
const inside =
  (alternative: number, encode: Encode): Encode =>
  (writer, tag, value) => {
    const mark = writer.mark()
    encode(writer, alternative, value)
    writer.header(tag, mark)
  }
/** A map as a message of repeated {name = 1, value = 2} in field `entries`. */
const named =
  (entries: number, encode: Encode): Encode =>
  (writer, tag, value) => {
    const mark = writer.mark()
    namedEntries(writer, entries, value, encode)
    writer.header(tag, mark)
  }
function namedEntries(writer: Writer, tag: number, value: Json, encode: Encode): void {
  if (!isObject(value)) return
  for (const [name, member] of Object.entries(value).toReversed()) {
    if (member === undefined) continue
    const mark = writer.mark()
    encode(writer, 2, member)
    string(writer, 1, name)
    writer.header(tag, mark)
  }
}

function encodeInto(writer: Writer, type: Message, value: Json): void {
  if (!isObject(value)) return
  // Written from the end to the start.
  for (const [key, member] of Object.entries(value).toReversed()) {
    if (member === undefined) continue
    const known = type.members[key]
    if (known !== undefined) known[1](writer, known[0], member)
    else if (key.startsWith('x-') && type.extensions !== 0)
      namedEntries(writer, type.extensions, { [key]: member }, anything)
  }
}

const schema: Message = {
  extensions: 31,
  members: {
    $ref: [1, string],
    format: [2, string],
    title: [3, string],
    description: [4, string],
    default: [5, anything],
    multipleOf: [6, double],
    maximum: [7, double],
    exclusiveMaximum: [8, boolean],
    minimum: [9, double],
    exclusiveMinimum: [10, boolean],
    maxLength: [11, integer],
    minLength: [12, integer],
    pattern: [13, string],
    maxItems: [14, integer],
    minItems: [15, integer],
    uniqueItems: [16, boolean],
    maxProperties: [17, integer],
    minProperties: [18, integer],
    required: [19, strings],
    enum: [20, anythings],
    additionalProperties: [
      21,
      (writer, tag, value) =>
        typeof value === 'boolean'
          ? inside(2, boolean)(writer, tag, value)
          : inside(
              1,
              message(() => schema),
            )(writer, tag, value),
    ],
    type: [22, inside(1, strings)],
    items: [
      23,
      (writer, tag, value) =>
        Array.isArray(value)
          ? inside(
              1,
              messages(() => schema),
            )(writer, tag, value)
          : inside(
              1,
              message(() => schema),
            )(writer, tag, value),
    ],
    allOf: [24, messages(() => schema)],
    properties: [
      25,
      named(
        1,
        message(() => schema),
      ),
    ],
    discriminator: [26, string],
    readOnly: [27, boolean],
    example: [30, anything],
  },
}

/** Members that parameters outside the body share; their tags shift with what stands before. */
const parameterTail = (first: number): Members => ({
  type: [first, string],
  format: [first + 1, string],
  collectionFormat: [first + 3, string],
  default: [first + 4, anything],
  maximum: [first + 5, double],
  exclusiveMaximum: [first + 6, boolean],
  minimum: [first + 7, double],
  exclusiveMinimum: [first + 8, boolean],
  maxLength: [first + 9, integer],
  minLength: [first + 10, integer],
  pattern: [first + 11, string],
  maxItems: [first + 12, integer],
  minItems: [first + 13, integer],
  uniqueItems: [first + 14, boolean],
  enum: [first + 15, anythings],
  multipleOf: [first + 16, double],
})
const parameterHead: Members = { required: [1, boolean], in: [2, string], description: [3, string], name: [4, string] }
const queryParameter: Message = {
  extensions: 23,
  members: { ...parameterHead, allowEmptyValue: [5, boolean], ...parameterTail(6) },
}
const plainParameter: Message = { extensions: 22, members: { ...parameterHead, ...parameterTail(5) } }
const bodyParameter: Message = {
  extensions: 6,
  members: {
    description: [1, string],
    name: [2, string],
    in: [3, string],
    required: [4, boolean],
    schema: [5, message(() => schema)],
  },
}
const reference: Message = { extensions: 0, members: { $ref: [1, string], description: [2, string] } }
/** Field of each place inside NonBodyParameter. */
const places: Readonly<Record<string, readonly [number, Message]>> = {
  header: [1, plainParameter],
  formData: [2, queryParameter],
  query: [3, queryParameter],
  path: [4, plainParameter],
}
const parameter: Encode = (writer, tag, value) => {
  const place = isObject(value) && typeof value['in'] === 'string' ? value['in'] : ''
  if (place === 'body')
    return inside(
      1,
      message(() => bodyParameter),
    )(writer, tag, value)
  const [field, type] = places[place] ?? [3, queryParameter]
  inside(
    2,
    inside(
      field,
      message(() => type),
    ),
  )(writer, tag, value)
}
const parameterItem: Encode = (writer, tag, value) => {
  if (isObject(value) && value['$ref'] !== undefined)
    inside(
      2,
      message(() => reference),
    )(writer, tag, value)
  else inside(1, parameter)(writer, tag, value)
}
const parameterItems: Encode = (writer, tag, value) => {
  for (const item of (Array.isArray(value) ? (value as readonly Json[]) : []).toReversed())
    parameterItem(writer, tag, item)
}

const response: Message = {
  extensions: 5,
  members: {
    description: [1, string],
    schema: [
      2,
      inside(
        1,
        message(() => schema),
      ),
    ],
  },
}
const requirement: Encode = (writer, tag, value) => {
  for (const item of (Array.isArray(value) ? (value as readonly Json[]) : []).toReversed())
    named(1, inside(1, strings))(writer, tag, item)
}
const operation: Message = {
  extensions: 13,
  members: {
    tags: [1, strings],
    summary: [2, string],
    description: [3, string],
    operationId: [5, string],
    produces: [6, strings],
    consumes: [7, strings],
    parameters: [8, parameterItems],
    responses: [
      9,
      named(
        1,
        inside(
          1,
          message(() => response),
        ),
      ),
    ],
    schemes: [10, strings],
    deprecated: [11, boolean],
    security: [12, requirement],
  },
}
const anOperation = message(() => operation)
const pathItem: Message = {
  extensions: 10,
  members: {
    $ref: [1, string],
    get: [2, anOperation],
    put: [3, anOperation],
    post: [4, anOperation],
    delete: [5, anOperation],
    options: [6, anOperation],
    head: [7, anOperation],
    patch: [8, anOperation],
    parameters: [9, parameterItems],
  },
}
const info: Message = {
  extensions: 7,
  members: { title: [1, string], version: [2, string], description: [3, string] },
}
const apiKey: Message = {
  extensions: 5,
  members: { type: [1, string], name: [2, string], in: [3, string], description: [4, string] },
}
const document: Message = {
  extensions: 16,
  members: {
    swagger: [1, string],
    info: [2, message(() => info)],
    host: [3, string],
    basePath: [4, string],
    schemes: [5, strings],
    consumes: [6, strings],
    produces: [7, strings],
    paths: [
      8,
      named(
        2,
        message(() => pathItem),
      ),
    ],
    definitions: [
      9,
      named(
        1,
        message(() => schema),
      ),
    ],
    parameters: [10, named(1, parameter)],
    security: [12, requirement],
    securityDefinitions: [
      13,
      named(
        1,
        inside(
          2,
          message(() => apiKey),
        ),
      ),
    ],
  },
}

/** Encodes a Swagger 2.0 document as made by openApiV2. */
export function encodeOpenApiV2(value: JsonObject): Uint8Array {
  const writer = new Writer()
  encodeInto(writer, document, value)
  return writer.bytes()
}
