// Objects from files, folders and standard input, as `apply -f` and `delete -f` take them.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { CliError } from './command.ts'

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name?: string; readonly namespace?: string }
}
const isManifest = /\.(ya?ml|json)$/

function filesOf(path: string): string[] {
  if (path === '-') return ['-']
  if (!statSync(path, { throwIfNoEntry: false })) throw new CliError(`the path "${path}" does not exist`)
  return statSync(path).isDirectory()
    ? readdirSync(path)
        .filter((name) => isManifest.test(name))
        .sort()
        .map((name) => join(path, name))
    : [path]
}

/** Every object in the files; Lists are taken apart. Throws CliError that names the file and the document. */
export function readManifests(paths: readonly string[]): Manifest[] {
  const out: Manifest[] = []
  for (const file of paths.flatMap(filesOf)) {
    const text = readFileSync(file === '-' ? 0 : file, 'utf8')
    parseAllDocuments(text, { maxAliasCount: 100, version: '1.2' } as never).forEach((document, i) => {
      const [error] = document.errors
      if (error !== undefined) throw new CliError(`${file}: document ${i + 1}: ${error.message.split('\n')[0]}`)
      const value: unknown = document.toJS()
      if (value === null || value === undefined) return
      const object = value as Manifest & { items?: readonly Manifest[] }
      if (typeof object !== 'object' || typeof object.apiVersion !== 'string' || typeof object.kind !== 'string')
        throw new CliError(`${file}: document ${i + 1}: apiVersion and kind must be set`)
      if (object.kind === 'List' && Array.isArray(object.items)) out.push(...object.items)
      else out.push(object)
    })
  }
  return out
}
