// What ConfigMaps, Secrets, the downward API and tokens put into files: the parts that stand-alone volumes and projected
// volumes share.
import { fieldValue, resourceFieldValue } from '../field-ref.ts'
import { namespaceOf, type Volume } from '../types.ts'
import type { Payload, PayloadFile } from './payload.ts'
import { MountError, type VolumeContext } from './volume.ts'

type ConfigMapSource = NonNullable<Volume['configMap']>
type DownwardSource = NonNullable<Volume['downwardAPI']>
type Items = ConfigMapSource['items']
interface KeyedSource {
  readonly items?: Items
  readonly optional?: boolean | undefined
}

const encoder = new TextEncoder()
export const textBytes = (text: string): Uint8Array => encoder.encode(text)
export const base64Bytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))

/** Chooses and names the keys; `missing` is what upstream says of a key that is not there. */
function select(
  all: ReadonlyMap<string, Uint8Array>,
  source: KeyedSource,
  mode: number,
  missing: (key: string) => string,
): Map<string, PayloadFile> {
  const files = new Map<string, PayloadFile>()
  if (source.items === undefined || source.items.length === 0) {
    for (const [key, content] of all) files.set(key, { content, mode })
    return files
  }
  for (const item of source.items) {
    const content = all.get(item.key)
    if (content !== undefined) files.set(item.path, { content, mode: item.mode ?? mode })
    else if (!source.optional) throw new MountError(missing(item.key))
  }
  return files
}

export async function configMapFiles(
  context: VolumeContext,
  name: string,
  source: KeyedSource,
  mode: number,
): Promise<Payload> {
  const found = await context.objects.configMap(namespaceOf(context.pod), name)
  if (found === undefined) {
    if (source.optional) return new Map()
    throw new MountError(`configmap "${name}" not found`)
  }
  const all = new Map<string, Uint8Array>()
  for (const [key, text] of Object.entries(found.data ?? {})) all.set(key, textBytes(text))
  for (const [key, text] of Object.entries(found.binaryData ?? {})) all.set(key, base64Bytes(text))
  return select(all, source, mode, (key) => `configmap references non-existent config key: ${key}`)
}

export async function secretFiles(
  context: VolumeContext,
  name: string,
  source: KeyedSource,
  mode: number,
): Promise<Payload> {
  const found = await context.objects.secret(namespaceOf(context.pod), name)
  if (found === undefined) {
    if (source.optional) return new Map()
    throw new MountError(`secret "${name}" not found`)
  }
  const all = new Map(Object.entries(found.data ?? {}).map(([key, text]) => [key, base64Bytes(text)]))
  return select(all, source, mode, (key) => `references non-existent secret key: ${key}`)
}

export function downwardFiles(context: VolumeContext, items: DownwardSource['items'], mode: number): Payload {
  const files = new Map<string, PayloadFile>()
  for (const item of items ?? []) {
    const { fieldRef, resourceFieldRef } = item
    const text =
      fieldRef !== undefined
        ? fieldValue(context.pod, fieldRef.fieldPath, context.facts)
        : resourceFieldRef === undefined
          ? undefined
          : resourceFieldValue(context.pod, undefined, resourceFieldRef, context.allocatable)
    if (text === undefined) throw new MountError(`unsupported field or resource for downward API item ${item.path}`)
    files.set(item.path, { content: textBytes(text), mode: item.mode ?? mode })
  }
  return files
}
