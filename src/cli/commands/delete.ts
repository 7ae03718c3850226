// cox delete: by kind and name, or what files say; waits until the objects are gone.
import { type Command, CliError, dataDirFlag, namespaceFlags, note, out } from '../command.ts'
import { ask, askMaybe, connect } from '../connect.ts'
import { type ApiResource, discover, findResources, pathOf, targetsOf } from '../discover.ts'
import { readManifests } from '../manifests.ts'
import { labelOf, resourceFor } from './apply.ts'

const pollMs = 100

export const deleteCommand: Command = {
  name: 'delete',
  summary: 'Delete objects.',
  usage: 'delete KIND NAME ... | -f FILE [flags]',
  flags: {
    ...dataDirFlag,
    ...namespaceFlags,
    filename: { type: 'string', short: 'f', value: 'FILE', multiple: true, help: 'delete what these manifests name' },
    'grace-period': { type: 'string', value: 'SECONDS', help: 'time that pods get to end (default: their own)' },
    force: { type: 'boolean', help: 'with --grace-period=0: remove at once, without waiting for the node' },
    'no-wait': { type: 'boolean', help: 'do not wait until the objects are gone' },
  },
  async run(call) {
    const grace = call.flag('grace-period')
    if (grace !== undefined && !/^\d+$/.test(grace))
      throw new CliError(`--grace-period wants a number of seconds, not "${grace}"`, 2)
    if (grace === '0' && !call.on('force'))
      throw new CliError('--grace-period=0 needs --force: the object goes at once, its processes may live on', 2)
    const transport = connect(call)
    try {
      const known = await discover(transport)
      const namespace = call.flag('namespace') ?? 'default'
      const targets: { readonly resource: ApiResource; readonly name: string; readonly namespace: string }[] = []
      const files = call.flags('filename')
      if (files.length > 0)
        for (const m of readManifests(files))
          targets.push({
            resource: resourceFor(known, m),
            name: m.metadata.name ?? '',
            namespace: m.metadata.namespace ?? namespace,
          })
      else {
        const { word, names } = targetsOf(call.positionals)
        const [resource] = findResources(known, word)
        if (names.length === 0) throw new CliError(`say which: cox delete ${word} NAME`, 2)
        if (resource !== undefined) for (const name of names) targets.push({ resource, name, namespace })
      }
      let failed = 0
      for (const { resource, name, namespace: where } of targets) {
        const path = pathOf(resource, where, name)
        try {
          const query = grace === undefined ? '' : `?gracePeriodSeconds=${grace}`
          await ask(transport, `${path}${query}`, { method: 'DELETE' })
          out(`${labelOf(resource, name)} deleted\n`)
        } catch (error) {
          if (!(error instanceof CliError)) throw error
          note(error.message)
          failed++
          continue
        }
        if (call.on('no-wait')) continue
        while ((await askMaybe(transport, path)) !== undefined) await new Promise((done) => setTimeout(done, pollMs))
      }
      return failed === 0 ? 0 : 1
    } finally {
      transport.close?.()
    }
  },
}
