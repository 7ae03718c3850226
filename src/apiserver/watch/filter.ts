// What a list or a watch asks for: namespace, name, labels, fields. The most selective part decides in which bucket a
// watcher lies and from which index a list is read.
import { ApiError, badRequest } from '../../api/machinery/errors.ts'
import {
  type FieldSelector,
  formatFieldSelector,
  parseFieldSelector,
  unsupportedField,
} from '../../api/machinery/fields.ts'
import {
  exactMatches,
  formatSelector,
  matchesSelector,
  parseSelector,
  type Selector,
  SelectorError,
} from '../../api/machinery/labels.ts'
import type { Collection, Entry } from '../storage/collection.ts'

export interface Filter {
  /** The same text for the same question. */
  readonly id: string
  /** See WatchHub. */
  readonly bucket: string
  readonly namespace: string
  /** True when nothing but the namespace restricts it. */
  readonly plain: boolean
  matches(entry: Entry): boolean
  /** Current entries that pass, in key order. */
  select(): Entry[]
}

/** Parses a selector of a query; a bad one is a BadRequest in upstream's words. */
export function labelSelectorOf(text: string | null): Selector {
  return text === null || text === '' ? [] : guarded(() => parseSelector(text))
}
/** `names` translates what the request's version calls differently. */
export function fieldSelectorOf(
  collection: Collection,
  text: string | null,
  names: Readonly<Record<string, string>> = {},
): FieldSelector {
  if (text === null || text === '') return []
  const selector = guarded(() => parseFieldSelector(text)).map((part) => ({
    ...part,
    field: Object.hasOwn(names, part.field) ? (names[part.field] ?? part.field) : part.field,
  }))
  const complaint = unsupportedField(collection.kind, selector)
  if (complaint !== undefined) throw badRequest(complaint)
  return selector
}
function guarded<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (error instanceof SelectorError) throw new ApiError('BadRequest', error.message)
    throw error
  }
}

/** Everything of a collection that is in `namespace` ('' for all) and passes both selectors. */
export function filterOf(collection: Collection, namespace: string, labels: Selector, fields: FieldSelector): Filter {
  const name = fields.find((f) => f.field === 'metadata.name' && f.operator === '=')?.value
  const fieldNamespace = fields.find((f) => f.field === 'metadata.namespace' && f.operator === '=')?.value
  const scope = namespace === '' && fieldNamespace !== undefined && fieldNamespace !== '' ? fieldNamespace : namespace
  const exactLabel = exactMatches(labels)[0]
  const exact = fields.find((f) => f.operator === '=' && collection.fieldNames.includes(f.field))
  const matches = (entry: Entry): boolean => {
    if (scope !== '' && entry.namespace !== scope) return false
    for (const { field, operator, value } of fields) {
      if ((collection.field(entry, field) === value) !== (operator === '=')) return false
    }
    return labels.length === 0 || matchesSelector(labels, entry.labels)
  }
  const bucket =
    name !== undefined
      ? `o:${scope}/${name}`
      : exact !== undefined
        ? `f:${exact.field}=${exact.value}`
        : exactLabel !== undefined
          ? `l:${exactLabel[0]}=${exactLabel[1]}`
          : scope !== '' && collection.kind.namespaced
            ? `n:${scope}`
            : ''
  return {
    id: `${scope}\n${formatSelector(labels)}\n${formatFieldSelector(fields)}`,
    bucket,
    namespace: scope,
    plain: labels.length === 0 && fields.length === 0,
    matches,
    select: () => candidates().filter(matches),
  }

  function candidates(): Entry[] {
    if (name !== undefined && (scope !== '' || !collection.kind.namespaced)) {
      const entry = collection.find(scope, name)
      return entry === undefined ? [] : [entry]
    }
    if (exact !== undefined) return collection.lookup({ field: exact.field }, exact.value)
    if (exactLabel !== undefined) return collection.lookup({ label: exactLabel[0] }, exactLabel[1])
    return collection.all(scope)
  }
}
