// What `kubectl get` prints is decided here: meta.k8s.io/v1 Table, and the PartialObjectMetadata forms of objects.
import { ageCell } from './age.ts'
import type { Cell, Column, TableDefinition } from './kind.ts'
import type { KubeObject, ListMeta } from './meta.ts'

/** How much of each object a row carries (?includeObject=). */
export type IncludeObject = 'None' | 'Metadata' | 'Object'
export type MetaVersion = 'v1' | 'v1beta1'

export interface ColumnDefinition {
  readonly name: string
  readonly type: string
  readonly format: string
  readonly description: string
  readonly priority: number
}
export interface TableRow {
  readonly cells: readonly Cell[]
  readonly object?: unknown
}
export interface Table {
  readonly kind: 'Table'
  readonly apiVersion: string
  readonly metadata: ListMeta
  readonly columnDefinitions?: readonly ColumnDefinition[]
  readonly rows: readonly TableRow[]
}
export interface TableOptions {
  readonly nowMs: number
  /** Default: Metadata. */
  readonly includeObject?: IncludeObject
  /** Of meta.k8s.io; default v1. */
  readonly version?: MetaVersion
  /** Watch events after the first leave the columns out. */
  readonly withoutColumns?: boolean
}

/** The table of a kind that declares none. */
export const defaultTable: TableDefinition<KubeObject> = {
  columns: [
    {
      name: 'Name',
      type: 'string',
      format: 'name',
      description: 'Unique among the objects of this type in a namespace',
    },
    { name: 'Created At', type: 'date', description: 'When the server made the object' },
  ],
  row: (object) => [object.metadata.name, object.metadata.creationTimestamp],
}

export const columnDefinitions = (columns: readonly Column[]): ColumnDefinition[] =>
  columns.map(({ name, type, format = '', description = '', priority = 0 }) => ({
    name,
    type,
    format,
    description,
    priority,
  }))

/** A Table of some objects; `metadata` is the list's, or that of the single object. */
export function tableOf<T extends KubeObject>(
  definition: TableDefinition<T> | undefined,
  objects: readonly T[],
  metadata: ListMeta,
  options: TableOptions,
): Table {
  const table: TableDefinition<T> = definition ?? defaultTable
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${options.version ?? 'v1'}`,
    metadata,
    ...(options.withoutColumns === true ? {} : { columnDefinitions: columnDefinitions(table.columns) }),
    rows: objects.map((object) => tableRow(table, object, options)),
  }
}

export function tableRow<T extends KubeObject>(table: TableDefinition<T>, object: T, options: TableOptions): TableRow {
  const isDefault = (table as TableDefinition<never>) === (defaultTable as TableDefinition<never>)
  const raw = table.row(object, options.nowMs)
  const cells = isDefault
    ? raw
    : raw.map((cell, i) =>
        table.columns[i]?.type === 'date' ? ageCell(cell === null ? undefined : String(cell), options.nowMs) : cell,
      )
  switch (options.includeObject ?? 'Metadata') {
    case 'None':
      return { cells }
    case 'Metadata':
      return { cells, object: partialObject(object, options.version) }
    case 'Object':
      return { cells, object }
  }
}

export interface PartialObjectMetadata {
  readonly kind: 'PartialObjectMetadata'
  readonly apiVersion: string
  readonly metadata: KubeObject['metadata']
}
/** An object without everything but its metadata. */
export const partialObject = (object: KubeObject, version: MetaVersion = 'v1'): PartialObjectMetadata => ({
  kind: 'PartialObjectMetadata',
  apiVersion: `meta.k8s.io/${version}`,
  metadata: object.metadata,
})
export const partialObjectList = (objects: readonly KubeObject[], metadata: ListMeta, version: MetaVersion = 'v1') => ({
  kind: 'PartialObjectMetadataList' as const,
  apiVersion: `meta.k8s.io/${version}`,
  metadata,
  items: objects.map((object) => partialObject(object, version)),
})
