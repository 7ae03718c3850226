// cox get: the server's own table, printed as kubectl prints it.
import { stringify } from 'yaml'
import { type Command, CliError, dataDirFlag, namespaceFlags, note, out } from '../command.ts'
import { ask, connect } from '../connect.ts'
import { type ApiResource, discover, findResources, pathOf, targetsOf } from '../discover.ts'

interface Table {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[]
  readonly rows: readonly {
    readonly cells: readonly unknown[]
    readonly object: { readonly metadata: { readonly name: string; readonly namespace?: string } }
  }[]
}
const tableAccept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'

/** Cells in columns of equal width, three blanks between. */
export function printTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  return rows
    .map(
      (row) =>
        row
          .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
          .join('   ')
          .trimEnd() + '\n',
    )
    .join('')
}

function rowsOf(table: Table, wide: boolean, namespaces: boolean, prefix: string): string[][] {
  const shown = table.columnDefinitions.map((c, i) => ({ ...c, i })).filter((c) => wide || c.priority === 0)
  const head = [...(namespaces ? ['NAMESPACE'] : []), ...shown.map((c) => c.name.toUpperCase())]
  const body = table.rows.map((row) => [
    ...(namespaces ? [row.object.metadata.namespace ?? ''] : []),
    ...shown.map((c, position) => {
      const cell = row.cells[c.i]
      const text =
        cell === null || cell === undefined
          ? '<none>'
          : typeof cell === 'object'
            ? JSON.stringify(cell)
            : String(cell as string | number | boolean)
      return position === 0 ? `${prefix}${text}` : text
    }),
  ])
  return [head, ...body]
}

export const get: Command = {
  name: 'get',
  summary: 'List objects of a kind, or show one.',
  usage: 'get KIND [NAME ...] [flags]',
  flags: {
    ...dataDirFlag,
    ...namespaceFlags,
    'all-namespaces': { type: 'boolean', short: 'A', help: 'objects of every namespace' },
    output: { type: 'string', short: 'o', value: 'wide|yaml|json|name', help: 'form of the output (default: a table)' },
    selector: { type: 'string', short: 'l', value: 'LABELS', help: 'label selector, such as app=web' },
  },
  async run(call) {
    const transport = connect(call)
    try {
      const output = call.flag('output') ?? ''
      if (!['', 'wide', 'yaml', 'json', 'name'].includes(output))
        throw new CliError(`unknown output "${output}": use wide, yaml, json or name`, 2)
      const { word, names } = targetsOf(call.positionals)
      const everywhere = call.on('all-namespaces')
      const namespace = everywhere ? undefined : (call.flag('namespace') ?? 'default')
      const selector = call.flag('selector')
      const query = selector === undefined ? '' : `?labelSelector=${encodeURIComponent(selector)}`
      const resources = word.split(',').flatMap((w) => w)
      const known = await discover(transport)
      const found = resources.flatMap((w) => findResources(known, w))
      const paths = (r: ApiResource) =>
        names.length === 0 ? [`${pathOf(r, namespace)}${query}`] : names.map((n) => pathOf(r, namespace, n))
      let shown = 0
      for (const r of found)
        for (const path of paths(r)) {
          if (output === 'yaml' || output === 'json') {
            const object = await ask<unknown>(transport, path)
            out(output === 'yaml' ? stringify(object) : `${JSON.stringify(object, undefined, 4)}\n`)
            shown++
            continue
          }
          const table = await ask<Table>(transport, path, { headers: { accept: tableAccept } })
          if (table.rows.length === 0) continue
          if (output === 'name')
            for (const row of table.rows)
              out(`${r.singular}${r.group === '' ? '' : `.${r.group}`}/${row.object.metadata.name}\n`)
          else {
            if (shown > 0) out('\n')
            out(
              printTable(
                rowsOf(table, output === 'wide', everywhere && r.namespaced, found.length > 1 ? `${r.singular}/` : ''),
              ),
            )
          }
          shown++
        }
      if (shown === 0)
        note(
          namespace === undefined || found.every((r) => !r.namespaced)
            ? 'No resources found'
            : `No resources found in ${namespace} namespace.`,
        )
      return 0
    } finally {
      transport.close?.()
    }
  },
}
