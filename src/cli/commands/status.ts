// cox status: whether a cluster runs, where, and how it is. Exit code 0 only when it is ready.
import type { Node } from '../../api/core/node.ts'
import { type Command, dataDirFlag, out } from '../command.ts'
import { ask, connect, wholeBody } from '../connect.ts'
import { dataDirOf, kubeconfigPath, logPath, requireServer } from '../data-dir.ts'

interface List<T> {
  readonly items: readonly T[]
}

export const status: Command = {
  name: 'status',
  summary: 'Say whether the cluster runs, where, and how it is. Exits with 0 only when it is ready.',
  usage: 'status [flags]',
  flags: { ...dataDirFlag },
  async run(call) {
    const dataDir = dataDirOf(call)
    const server = requireServer(dataDir)
    const transport = connect(call)
    try {
      const readyz = await transport.send({ method: 'GET', path: '/readyz' })
      const ready = readyz.status === 200
      const [{ items: nodes }, { items: pods }] = await Promise.all([
        ask<List<Node>>(transport, '/api/v1/nodes'),
        ask<List<{ readonly status?: { readonly phase?: string } }>>(transport, '/api/v1/pods'),
      ])
      const phases = new Map<string, number>()
      for (const { status: pod } of pods)
        phases.set(pod?.phase ?? 'Unknown', (phases.get(pod?.phase ?? 'Unknown') ?? 0) + 1)
      const lines: [string, string][] = [
        ['api', `${server.url}  ${ready ? 'ready' : `not ready: ${(await wholeBody(readyz)).trim()}`}`],
        ['process', `${server.pid}, since ${server.startedAt}`],
        ['data', dataDir],
        ['runtime', server.runtime],
        ['store', server.store],
        ['kubeconfig', kubeconfigPath(dataDir)],
        ['log', logPath(dataDir)],
        ...nodes.map((node): [string, string] => [`node ${node.metadata.name}`, readiness(node)]),
        ['pods', [...phases].map(([phase, count]) => `${count} ${phase}`).join(', ') || 'none'],
      ]
      const width = Math.max(...lines.map(([name]) => name.length))
      out(`${lines.map(([name, text]) => `${name.padEnd(width)}  ${text}`).join('\n')}\n`)
      return ready && nodes.some((node) => readiness(node) === 'Ready') ? 0 : 1
    } finally {
      transport.close?.()
    }
  },
}
function readiness(node: Node): string {
  const condition = node.status?.conditions?.find(({ type }) => type === 'Ready')
  return condition?.status === 'True' ? 'Ready' : `NotReady: ${condition?.message ?? 'it has not reported'}`
}
