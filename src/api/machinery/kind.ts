// A kind is declared once, as a value of type Kind. Everything the server does with a resource it reads from here;
// a CRD becomes the same descriptor at run time.
import type { FieldError } from './errors.ts'
import type { KubeObject } from './meta.ts'
import type { Draft, JsonObject, ObjectSchema } from './schema.ts'

export interface Column {
  readonly name: string
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date'
  readonly format?: string
  readonly description?: string
  /** 0 is always shown, 1 only with -o wide. */
  readonly priority?: number
}
/** One printed cell; dates are computed by the table interpreter from a timestamp ("age"). */
export type Cell = string | number | boolean | null
export interface TableDefinition<T> {
  readonly columns: readonly Column[]
  /** `nowMs` is the server's clock, for ages. */
  readonly row: (object: T, nowMs: number) => readonly Cell[]
}

export type Verb = 'create' | 'get' | 'list' | 'watch' | 'update' | 'patch' | 'delete' | 'deletecollection'

/** What a preparation or validation may look at besides the object. */
export interface WriteContext {
  readonly nowMs: number
}

export interface ScaleMapping {
  readonly specReplicasPath: readonly string[]
  readonly statusReplicasPath: readonly string[]
  /** Path of the selector: a string, a LabelSelector or a plain label map. */
  readonly labelSelectorPath?: readonly string[]
}

export interface Kind<T extends KubeObject = KubeObject> {
  readonly group: string
  readonly version: string
  readonly kind: string
  /** Plural resource name in paths. */
  readonly plural: string
  readonly singular: string
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
  readonly namespaced: boolean
  readonly schema: ObjectSchema
  /** Default: all eight. */
  readonly verbs?: readonly Verb[]
  /** Store prefix without a slash at the end, as upstream lays it out: /registry/pods, /registry/minions. */
  readonly storagePrefix: string
  /** True where PUT to an absent name creates (leases, endpoints ...). */
  readonly createOnUpdate?: boolean
  /** True where an update may omit resourceVersion (most built-in kinds allow it). */
  readonly unconditionalUpdate?: boolean
  readonly subresources?: {
    readonly status?: boolean
    readonly scale?: ScaleMapping
    /** Names with a handler of their own in the apiserver: binding, log, exec, eviction, token ... */
    readonly custom?: readonly string[]
  }
  /** metadata.generation counts changes outside metadata and status. */
  readonly generation?: boolean
  readonly table?: TableDefinition<T>
  /** Field selectors beyond metadata.name and metadata.namespace; each is indexed. */
  readonly selectableFields?: Readonly<Record<string, (object: T) => string>>
  /** Defaults that data cannot say. Runs after the schema's defaults, before admission, on create and update. */
  readonly setDefaults?: (draft: Draft<T>) => void
  /** Before create: drops what clients may not set (status), fills what the server decides. */
  readonly prepareForCreate?: (draft: Draft<T>, context: WriteContext) => void
  /** Before an update of the main resource (status is already carried over from `old`). */
  readonly prepareForUpdate?: (draft: Draft<T>, old: T, context: WriteContext) => void
  /** Before an update through /status (everything but status and a few metadata fields is already carried over). */
  readonly prepareForStatusUpdate?: (draft: Draft<T>, old: T) => void
  /** Rules that the schema cannot say; the generic metadata and schema checks ran before. `old` on update, for rules that
   * leave alone what is stored already. */
  readonly validate?: (object: T, context: WriteContext, old?: T) => readonly FieldError[]
  readonly validateUpdate?: (object: T, old: T, context: WriteContext) => readonly FieldError[]
  readonly validateStatusUpdate?: (object: T, old: T, context: WriteContext) => readonly FieldError[]
  /** CEL rules; `old` on update. Not asked where the schema's findings would make them fail for no reason of their own. */
  readonly rules?: (object: T, old: T | undefined) => readonly FieldError[]
  readonly warnings?: (object: T, old: T | undefined) => readonly string[]
  /** Name rule for metadata.name. Default: dns-subdomain. */
  readonly nameRule?: 'dns-subdomain' | 'dns-label' | 'dns-1035-label' | 'path-segment' | 'none'
  /** Finalizers need no domain (definitions and custom resources). */
  readonly plainFinalizers?: boolean
  /** Graceful deletion: the grace period in seconds to store for this object, 0 to remove it at once. Default: 0. */
  readonly gracePeriodSeconds?: (object: T, requested: number | undefined) => number
  /** Other served versions of the same stored kind. */
  readonly versions?: readonly KindVersion[]
  /** Version named in the storageVersionHash of discovery, where it is not `version`. */
  readonly storageVersion?: string
  /** DELETE answers the deleted object instead of a Status (pods, services, storage classes ...). */
  readonly returnsDeleted?: boolean
  /** Kind of the list; default KIND + "List". */
  readonly listKind?: string
}

/** A served version that is not the stored one: a schema and a small conversion beside it. */
export interface KindVersion {
  readonly group: string
  readonly version: string
  readonly schema: ObjectSchema
  readonly setDefaults?: (draft: Draft<JsonObject>) => void
  /** To the stored version; may throw ApiError. Draft in, same draft changed. */
  readonly toStored: (draft: Draft<JsonObject>) => void
  readonly fromStored: (draft: Draft<JsonObject>) => void
  readonly table?: TableDefinition<KubeObject>
  /** "policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+, ..." sent as a Warning header. */
  readonly deprecation?: string
  readonly verbs?: readonly Verb[]
  readonly shortNames?: readonly string[]
  /** Field selectors that this version names differently: its name to the stored version's. */
  readonly fieldNames?: Readonly<Record<string, string>>
}

/** Declares a kind; the type parameter is what its objects look like. */
export const defineKind = <T extends KubeObject>(kind: Kind<T>): Kind<T> => kind

/** "v1" or "apps/v1". */
export const apiVersionOf = (kind: { readonly group: string; readonly version: string }): string =>
  kind.group === '' ? kind.version : `${kind.group}/${kind.version}`
