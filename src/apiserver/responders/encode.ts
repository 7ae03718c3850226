// Objects into bytes of a media type, for everything that is not a stored object in its usual form.
import { stringify } from 'yaml'
import { ApiError } from '../../api/machinery/errors.ts'
import { status } from '../../api/machinery/meta.ts'
import { partialObjectMetadata, partialObjectMetadataList } from '../../api/machinery/meta-schemas.ts'
import { encodeProtobuf, encodeWatchFrame } from '../../api/machinery/protobuf.ts'
import type { ObjectSchema } from '../../api/machinery/schema.ts'
import { bodyKinds } from '../subresources/body-kinds.ts'
import { utf8 } from '../storage/layout.ts'
import type { Encoding } from './negotiate.ts'

interface Typed {
  readonly apiVersion: string
  readonly kind: string
}

/** `eventType` frames the object as a watch event. */
export function encodeObject(encoding: Encoding, object: object, eventType?: string): Uint8Array {
  switch (encoding) {
    case 'json':
      return utf8(`${JSON.stringify(object)}\n`)
    case 'yaml':
      return utf8(
        eventType === undefined
          ? stringify(object, yamlOptions)
          : `---\n${stringify({ type: eventType, object }, yamlOptions)}`,
      )
    case 'protobuf': {
      const bytes = encodeProtobuf(schemaOf(object as Typed), object as Typed)
      return eventType === undefined ? bytes : encodeWatchFrame(eventType, bytes)
    }
  }
}
const yamlOptions = { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false, singleQuote: true } as const

/** The schema of an object that no collection holds. */
function schemaOf({ kind }: Typed): ObjectSchema {
  if (kind === 'Status') return status
  if (kind === 'PartialObjectMetadata') return partialObjectMetadata
  if (kind === 'PartialObjectMetadataList') return partialObjectMetadataList
  const known = bodyKinds.find((body) => body.kind === kind)
  if (known !== undefined) return known.schema
  throw new ApiError('NotAcceptable', 'only the following media types are accepted: application/json, application/yaml')
}
