// cox why: why an object is as it is, and what would help. The server explains; this prints.
import type { Why } from '../../why/answer.ts'
import { whyText } from '../../why/text.ts'
import { type Command, CliError, dataDirFlag, namespaceFlags, out } from '../command.ts'
import { ask, connect } from '../connect.ts'
import { discover, findResources, pathOf, targetsOf } from '../discover.ts'

export const why: Command = {
  name: 'why',
  summary: 'Explain why an object is as it is (Pending, not Ready, failing, stuck), and what would help.',
  usage: 'why KIND/NAME [KIND/NAME ...] [flags]',
  flags: {
    ...dataDirFlag,
    ...namespaceFlags,
    output: { type: 'string', short: 'o', value: 'text|json', help: 'form of the output (default: text)' },
  },
  async run(call) {
    const output = call.flag('output') ?? 'text'
    if (output !== 'text' && output !== 'json') throw new CliError(`unknown output "${output}": use text or json`, 2)
    const targets = targetsIn(call.positionals)
    const transport = connect(call)
    try {
      const known = await discover(transport)
      const namespace = call.flag('namespace') ?? 'default'
      let shown = 0
      for (const { word, name } of targets) {
        const [resource] = findResources(known, word)
        if (resource === undefined) continue
        const answer = await ask<Why>(transport, `/why${pathOf(resource, namespace, name)}`)
        if (output === 'json') out(`${JSON.stringify(answer, undefined, 4)}\n`)
        else out(`${shown === 0 ? '' : '\n'}${whyText(answer)}`)
        shown++
      }
      return 0
    } finally {
      transport.close?.()
    }
  },
}

/** pod/a pod/b, or pod a b. Throws CliError (exit code 2) where no object is named. */
function targetsIn(positionals: readonly string[]): readonly { readonly word: string; readonly name: string }[] {
  if (positionals.length > 0 && positionals.every((text) => text.includes('/')))
    return positionals.map((text) => {
      const slash = text.indexOf('/')
      return { word: text.slice(0, slash), name: text.slice(slash + 1) }
    })
  const { word, names } = targetsOf(positionals)
  if (names.length === 0) throw new CliError(`say which ${word}: cox why ${word}/NAME`, 2)
  return names.map((name) => ({ word, name }))
}
