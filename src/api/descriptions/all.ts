// Short descriptions of types and fields, for `kubectl explain` and whoever reads the OpenAPI documents. Nothing else in the
// server looks at them, so they stand apart from the schemas, by type and field; every version of a type shares its texts.
import { accessTexts } from './access.ts'
import { containerTexts } from './container.ts'
import { commonTexts, metaTexts } from './meta.ts'
import { networkTexts } from './network.ts'
import { podTexts } from './pod.ts'
import { storageTexts } from './storage.ts'
import type { Texts } from './texts.ts'
import { workloadTexts } from './workloads.ts'

export const texts: Texts = {
  ...metaTexts,
  ...podTexts,
  ...containerTexts,
  ...workloadTexts,
  ...networkTexts,
  ...storageTexts,
  ...accessTexts,
}

/** The key in `texts` of an OpenAPI definition name; undefined for definitions that are no API types. */
export function textKey(definition: string): string | undefined {
  const [, group, type] = /^io\.k8s\.(?:api|apimachinery\.pkg\.apis)\.(\w+)\.v\w+\.(\w+)$/.exec(definition) ?? []
  return group === undefined || type === undefined ? undefined : `${group}.${type}`
}

/** The description of a type ('' for `field`), or of one of its fields. */
export function descriptionOf(definition: string, field: string): string | undefined {
  const key = textKey(definition)
  if (key === undefined) return undefined
  const fields = texts[key]
  if (fields !== undefined && Object.hasOwn(fields, field)) return fields[field]
  return Object.hasOwn(commonTexts, field) ? commonTexts[field] : undefined
}
