// A second reader and writer of Kubernetes' protobuf messages, made from upstream's field numbers by an independent
// library. What ours writes it must read, what it writes ours must read.
import { create, createFileRegistry, type DescMessage, fromBinary, type Message, toBinary } from '@bufbuild/protobuf'
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt'

type Facts = Readonly<Record<string, Readonly<Record<string, readonly [number, string]>>>>
const scalars: Readonly<Record<string, Type>> = {
  string: Type.STRING,
  bool: Type.BOOL,
  bytes: Type.BYTES,
  int32: Type.INT32,
  int64: Type.INT64,
  double: Type.DOUBLE,
}

/** `roundTrip(message, bytes)` reads bytes as a message and writes it again; throws where the bytes do not fit. */
export function protobufOracle(facts: Facts): (message: string, bytes: Uint8Array) => Uint8Array {
  const flat = (name: string) => name.replaceAll('.', '_')
  const typeOf = (type: string, owner: string) => {
    const scalar = scalars[type]
    if (scalar !== undefined) return { type: scalar }
    const name = type.startsWith('.') ? type.slice(1) : `${owner.slice(0, owner.lastIndexOf('.'))}.${type}`
    return { type: Type.MESSAGE, typeName: `.oracle.${flat(name)}` }
  }
  const messageType = Object.entries(facts).map(([name, fields]) => {
    const nestedType: object[] = []
    const field = Object.entries(fields).map(([key, [number, type]]) => {
      const map = /^map<string, (.*)>$/.exec(type)
      if (map !== null) {
        const entry = `Entry${number}`
        nestedType.push({
          name: entry,
          options: { mapEntry: true },
          field: [
            { name: 'key', number: 1, label: Label.OPTIONAL, type: Type.STRING },
            { name: 'value', number: 2, label: Label.OPTIONAL, ...typeOf(map[1] ?? '', name) },
          ],
        })
        return {
          name: key,
          number,
          label: Label.REPEATED,
          type: Type.MESSAGE,
          typeName: `.oracle.${flat(name)}.${entry}`,
        }
      }
      const repeated = type.startsWith('[]')
      return {
        name: key,
        number,
        label: repeated ? Label.REPEATED : Label.OPTIONAL,
        ...typeOf(repeated ? type.slice(2) : type, name),
      }
    })
    return { name: flat(name), field, nestedType }
  })
  const set = create(FileDescriptorSetSchema, {
    file: [{ name: 'oracle.proto', package: 'oracle', syntax: 'proto2', messageType }],
  })
  const registry = createFileRegistry(set)
  return (name, bytes) => {
    const message: DescMessage | undefined = registry.getMessage(`oracle.${flat(name)}`)
    if (message === undefined) throw new Error(`upstream has no message ${name}`)
    const value: Message = fromBinary(message, bytes, { readUnknownFields: true })
    if ((value.$unknown ?? []).length > 0)
      throw new Error(`${name}: upstream does not know field ${value.$unknown?.[0]?.no}`)
    return toBinary(message, value)
  }
}
