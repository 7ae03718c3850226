// cox agent: makes this machine a node of a cluster that runs elsewhere.
import { type Command, CliError, dataDirFlag, out } from '../command.ts'
import { dataDirOf, runningServer } from '../data-dir.ts'
import { requireMachine } from '../machine.ts'
import { nodeFlags, nodeSettingsOf } from '../node-flags.ts'
import { runService } from './up.ts'

const tokenForm = /^[a-z0-9]{6}\.[a-z0-9]{16}$/

export const agent: Command = {
  name: 'agent',
  summary:
    'Make this machine a node of a cluster that runs elsewhere. It joins with a token once and keeps the certificate it gets: later starts need neither --server nor --token.',
  usage: 'agent --server URL --token TOKEN [flags]',
  flags: {
    ...dataDirFlag,
    server: { type: 'string', value: 'URL', help: 'the API server, https://HOST:6443' },
    token: { type: 'string', value: 'TOKEN', help: 'what "cox token create" printed on the server' },
    'ca-hash': {
      type: 'string',
      value: 'sha256:HEX',
      help: "hash of the cluster authority's public key, which must be this one; the token alone proves it to whoever trusts its other holders",
    },
    ...nodeFlags,
    detach: { type: 'boolean', short: 'd', help: 'return when the node is ready, and leave it running' },
  },
  async run(call) {
    const [extra] = call.positionals
    if (extra !== undefined) throw new CliError(`unexpected word "${extra}"; "cox agent --help" lists the flags`, 2)
    const dataDir = dataDirOf(call)
    const running = runningServer(dataDir)
    if (running !== undefined)
      throw new CliError(
        `process ${running.pid} serves ${dataDir} already: "cox down" ends it, --data-dir names another`,
      )
    const options = {
      dataDir,
      server: serverOf(call.flag('server')),
      token: tokenOf(call.flag('token') ?? process.env['COX_TOKEN']),
      caHash: hashOf(call.flag('ca-hash')),
      node: nodeSettingsOf(call),
    }
    await requireMachine(options.node, call.on('yes'))
    return runService(call, {
      dataDir,
      start: async (onProgress) => (await import('../agent.ts')).serveAgent(options, onProgress),
      sayReady(url, nodeName) {
        const flag = dataDir === '/var/lib/coxswain' ? '' : ` --data-dir ${dataDir}`
        out(`the node ${nodeName ?? ''} is ready in the cluster of ${url}\n  cox down${flag}     ends it\n`)
      },
    })
  },
}

export function serverOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const withScheme = text.includes('://') ? text : `https://${text}`
  const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined
  if (url === undefined || url.protocol !== 'https:' || url.pathname !== '/' || url.hostname === '')
    throw new CliError(`--server wants https://HOST:PORT, not "${text}"`, 2)
  return `https://${url.hostname}:${url.port === '' ? '6443' : url.port}`
}
export function tokenOf(text: string | undefined): string | undefined {
  if (text === undefined || tokenForm.test(text)) return text
  throw new CliError(
    '--token wants six letters or digits, a dot and sixteen more, as "cox token create" prints them',
    2,
  )
}
export function hashOf(text: string | undefined): string | undefined {
  if (text === undefined || /^sha256:[0-9a-f]{64}$/i.test(text)) return text
  throw new CliError(`--ca-hash wants sha256: and 64 hexadecimal digits, not "${text}"`, 2)
}
