// Cells that the tables of pods and of workloads have in common.
import type { Cell, Column } from '../machinery/kind.ts'
import type { Container } from './container.ts'

interface Template {
  readonly containers: readonly Pick<Container, 'name' | 'image'>[]
}
export const containerNames = (spec: Template | undefined): string =>
  spec?.containers.map((c) => c.name).join(',') ?? ''
export const containerImages = (spec: Template | undefined): string =>
  spec?.containers.map((c) => c.image ?? '').join(',') ?? ''

export const nameColumn: Column = { name: 'Name', type: 'string', format: 'name' }
export const ageColumn: Column = { name: 'Age', type: 'string' }
/** A column that is always shown. */
export const column = (name: string, type: Column['type'] = 'string'): Column => ({ name, type })
/** A column of `-o wide`. */
export const wideColumn = (name: string, type: Column['type'] = 'string'): Column => ({ name, type, priority: 1 })

export const containerColumns: readonly Column[] = [
  wideColumn('Containers'),
  wideColumn('Images'),
  wideColumn('Selector'),
]
/** The cells of containerColumns. */
export const containerCells = (spec: Template | undefined, selector: string): readonly Cell[] => [
  containerNames(spec),
  containerImages(spec),
  selector,
]
