// Objects into bytes of a media type.
import { stringify } from 'yaml'
import { ApiError } from '../../api/machinery/errors.ts'
import type { ServedResource } from '../resources.ts'
import { utf8 } from '../storage/layout.ts'
import type { Encoding } from './negotiate.ts'

/** `eventType` frames the object as a watch event. */
export function encodeObject(
  encoding: Encoding,
  _resource: ServedResource | undefined,
  object: object,
  eventType?: string,
): Uint8Array {
  switch (encoding) {
    case 'json':
      return utf8(`${JSON.stringify(object)}\n`)
    case 'yaml':
      return utf8(
        eventType === undefined
          ? stringify(object, yamlOptions)
          : `---\n${stringify({ type: eventType, object }, yamlOptions)}`,
      )
    case 'protobuf':
      throw new ApiError(
        'NotAcceptable',
        'only the following media types are accepted: application/json, application/yaml',
      )
  }
}
const yamlOptions = { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false, singleQuote: true } as const
