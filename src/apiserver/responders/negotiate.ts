// Content negotiation: the Accept header into an encoding and a representation. The few headers that clients really
// send are parsed once and remembered.
import { ApiError } from '../../api/machinery/errors.ts'

export type Encoding = 'json' | 'yaml' | 'protobuf'
export type Representation = 'object' | 'table' | 'partial' | 'partial-list'
export interface Negotiated {
  readonly encoding: Encoding
  readonly as: Representation
  /** Version of meta.k8s.io for table and partial: v1 or v1beta1. */
  readonly metaVersion: string
  readonly contentType: string
}

const encodings: Readonly<Record<string, Encoding>> = {
  'application/json': 'json',
  'application/yaml': 'yaml',
  'application/vnd.kubernetes.protobuf': 'protobuf',
  'application/*': 'json',
  '*/*': 'json',
}
const mediaTypes: Readonly<Record<Encoding, string>> = {
  json: 'application/json',
  yaml: 'application/yaml',
  protobuf: 'application/vnd.kubernetes.protobuf',
}
const representations: Readonly<Record<string, Representation>> = {
  Table: 'table',
  PartialObjectMetadata: 'partial',
  PartialObjectMetadataList: 'partial-list',
}
export const plainJson: Negotiated = {
  encoding: 'json',
  as: 'object',
  metaVersion: '',
  contentType: 'application/json',
}

interface Clause {
  readonly type: string
  readonly parameters: ReadonlyMap<string, string>
  readonly quality: number
}
function clausesOf(accept: string): Clause[] {
  return accept
    .split(',')
    .map((part) => {
      const [type = '', ...rest] = part.split(';').map((piece) => piece.trim())
      const parameters = new Map(
        rest.map((piece) => {
          const [key = '', value = ''] = piece.split('=')
          return [key.trim(), value.trim()] as const
        }),
      )
      const quality = Number(parameters.get('q') ?? '1')
      return { type: type.toLowerCase(), parameters, quality: Number.isFinite(quality) ? quality : 0 }
    })
    .sort((a, b) => b.quality - a.quality)
}

const representationsText = [
  ...Object.values(mediaTypes),
  'application/json;stream=watch',
  'application/vnd.kubernetes.protobuf;stream=watch',
].join(', ')
export const notAcceptable = () =>
  new ApiError('NotAcceptable', `406: Not Acceptable\n\nAvailable representations: ${representationsText}`, {})

const byHeader = new Map<string, Negotiated>()

/** Chooses how to answer; `protobuf` says whether that can be made. Throws ApiError NotAcceptable where nothing that the client takes can be made. */
export function negotiate(accept: string | undefined, protobuf = true): Negotiated {
  if (accept === undefined || accept === '' || accept === '*/*' || accept === 'application/json') return plainJson
  const key = protobuf ? accept : `json ${accept}`
  const known = byHeader.get(key)
  if (known !== undefined) return known
  const chosen = choose(accept, protobuf)
  if (byHeader.size > 256) byHeader.clear()
  byHeader.set(key, chosen)
  return chosen
}

function choose(accept: string, protobuf: boolean): Negotiated {
  for (const { type, parameters, quality } of clausesOf(accept)) {
    const encoding = Object.hasOwn(encodings, type) ? encodings[type] : undefined
    if (encoding === undefined || quality === 0 || (encoding === 'protobuf' && !protobuf)) continue
    const wanted = parameters.get('as')
    if (wanted === undefined) return { encoding, as: 'object', metaVersion: '', contentType: mediaTypes[encoding] }
    const as = Object.hasOwn(representations, wanted) ? representations[wanted] : undefined
    const metaVersion = parameters.get('v') ?? ''
    if (as === undefined || parameters.get('g') !== 'meta.k8s.io') continue
    if (metaVersion !== 'v1' && metaVersion !== 'v1beta1') continue
    if (as === 'table' && encoding === 'protobuf') continue
    return { encoding, as, metaVersion, contentType: mediaTypes[encoding] }
  }
  throw notAcceptable()
}
