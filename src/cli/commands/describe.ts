// cox describe: an object as YAML without its noise, then what happened to it.
import { stringify } from 'yaml'
import { type Command, dataDirFlag, namespaceFlags, out } from '../command.ts'
import { ask, connect } from '../connect.ts'
import { discover, findResources, pathOf, targetsOf } from '../discover.ts'
import { printTable } from './get.ts'

interface Described {
  readonly metadata: { readonly name: string; readonly uid: string; readonly managedFields?: unknown }
}
interface Events {
  readonly items: readonly {
    readonly type?: string
    readonly reason?: string
    readonly message?: string
    readonly count?: number
    readonly lastTimestamp?: string
    readonly eventTime?: string
    readonly metadata: { readonly creationTimestamp: string }
    readonly source?: { readonly component?: string }
    readonly reportingComponent?: string
  }[]
}
const age = (time: string): string => {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(time)) / 1000))
  return seconds < 120
    ? `${seconds}s`
    : seconds < 7200
      ? `${Math.floor(seconds / 60)}m`
      : `${Math.floor(seconds / 3600)}h`
}

export const describe: Command = {
  name: 'describe',
  summary: 'Show an object with its events.',
  usage: 'describe KIND NAME [flags]',
  flags: { ...dataDirFlag, ...namespaceFlags },
  async run(call) {
    const transport = connect(call)
    try {
      const namespace = call.flag('namespace') ?? 'default'
      const { word, names } = targetsOf(call.positionals)
      const [resource] = findResources(await discover(transport), word)
      if (resource === undefined) return 1
      const wanted =
        names.length > 0
          ? names
          : (await ask<{ items: Described[] }>(transport, pathOf(resource, namespace))).items.map(
              (o) => o.metadata.name,
            )
      for (const name of wanted) {
        const object = await ask<Described>(transport, pathOf(resource, namespace, name))
        const { managedFields: _, ...metadata } = object.metadata
        out(stringify({ ...object, metadata }))
        const selector = encodeURIComponent(`involvedObject.uid=${object.metadata.uid}`)
        const scope = resource.namespaced ? `/namespaces/${encodeURIComponent(namespace)}` : ''
        const events = await ask<Events>(transport, `/api/v1${scope}/events?fieldSelector=${selector}`)
        if (events.items.length === 0) out('Events: <none>\n')
        else
          out(
            `Events:\n${printTable([
              ['  TYPE', 'REASON', 'AGE', 'FROM', 'MESSAGE'],
              ...events.items.map((e) => {
                const when = age(e.lastTimestamp ?? e.eventTime ?? e.metadata.creationTimestamp)
                return [
                  `  ${e.type ?? ''}`,
                  e.reason ?? '',
                  (e.count ?? 1) > 1 ? `${when} (x${e.count})` : when,
                  e.source?.component ?? e.reportingComponent ?? '',
                  e.message ?? '',
                ]
              }),
            ])}`,
          )
        out('\n')
      }
      return 0
    } finally {
      transport.close?.()
    }
  },
}
