// cox status: whether a cluster runs, where, and how it is; of an agent, how its node is. Exit code 0 only when it is ready.
import type { Node } from '../../api/core/node.ts'
import { keptOciRuntimes } from '../../host/containerd/oci-runtimes.ts'
import { type Transport, TransportError } from '../../ports/transport.ts'
import { type Command, dataDirFlag, out } from '../command.ts'
import { ask, askMaybe, connect, wholeBody } from '../connect.ts'
import { dataDirOf, kubeconfigPath, logPath, requireServer, type RunState } from '../data-dir.ts'
import { nodeTransport } from '../node-credentials.ts'

interface List<T> {
  readonly items: readonly T[]
}

export const status: Command = {
  name: 'status',
  summary:
    'Say whether the cluster runs, where, and how it is; of an agent, how its node is. Exits with 0 only when it is ready.',
  usage: 'status [flags]',
  flags: { ...dataDirFlag },
  async run(call) {
    const dataDir = dataDirOf(call)
    const server = requireServer(dataDir)
    const transport = server.role === 'agent' ? nodeTransport(dataDir, server.url) : connect(call)
    try {
      return await (server.role === 'agent' ? nodeStatus : clusterStatus)(transport, server, dataDir)
    } finally {
      transport.close?.()
    }
  },
}

type Line = readonly [name: string, text: string]
function print(lines: readonly Line[]): void {
  const width = Math.max(...lines.map(([name]) => name.length))
  out(`${lines.map(([name, text]) => `${name.padEnd(width)}  ${text}`).join('\n')}\n`)
}
/** What makes the containers, and why it was chosen. */
function runtimeLines({ runtime }: RunState, dataDir: string): Line[] {
  const oci = runtime === 'containerd' ? keptOciRuntimes(dataDir) : undefined
  return [['runtime', runtime], ...(oci === undefined ? [] : [['oci', `${oci.standard}: ${oci.reason}`] as const])]
}
type Pods = List<{ readonly status?: { readonly phase?: string } }>
function podLine({ items }: Pods): Line {
  const phases = new Map<string, number>()
  for (const { status: pod } of items) {
    const phase = pod?.phase ?? 'Unknown'
    phases.set(phase, (phases.get(phase) ?? 0) + 1)
  }
  return ['pods', [...phases].map(([phase, count]) => `${count} ${phase}`).join(', ') || 'none']
}

async function clusterStatus(transport: Transport, server: RunState, dataDir: string): Promise<number> {
  const readyz = await transport.send({ method: 'GET', path: '/readyz' })
  const ready = readyz.status === 200
  const [{ items: nodes }, pods] = await Promise.all([
    ask<List<Node>>(transport, '/api/v1/nodes'),
    ask<Pods>(transport, '/api/v1/pods'),
  ])
  print([
    ['api', `${server.url}  ${ready ? 'ready' : `not ready: ${(await wholeBody(readyz)).trim()}`}`],
    ['process', `${server.pid}, since ${server.startedAt}`],
    ['data', dataDir],
    ...runtimeLines(server, dataDir),
    ['store', server.store],
    ['kubeconfig', kubeconfigPath(dataDir)],
    ['log', logPath(dataDir)],
    ...nodes.map((node): Line => [`node ${node.metadata.name}`, readiness(node)]),
    podLine(pods),
  ])
  // A control plane alone is whole without nodes.
  return ready && (server.role === 'server' || nodes.some((node) => readiness(node) === 'Ready')) ? 0 : 1
}

/** What an agent knows of itself, and what the API says of its node while it answers. */
async function nodeStatus(transport: Transport, agent: RunState, dataDir: string): Promise<number> {
  const { nodeName } = agent
  const own: Line[] = [
    ['process', `${agent.pid}, since ${agent.startedAt}`],
    ['data', dataDir],
    ...runtimeLines(agent, dataDir),
    ['log', logPath(dataDir)],
  ]
  try {
    const [node, pods] = await Promise.all([
      askMaybe<Node>(transport, `/api/v1/nodes/${nodeName}`),
      ask<Pods>(transport, `/api/v1/pods?fieldSelector=${encodeURIComponent(`spec.nodeName=${nodeName}`)}`),
    ])
    const state = node === undefined ? 'the cluster has no such node' : readiness(node)
    print([['server', `${agent.url}  answers`], ...own, [`node ${nodeName}`, state], podLine(pods)])
    return state === 'Ready' ? 0 : 1
  } catch (error) {
    if (!(error instanceof TransportError)) throw error
    print([['server', `${agent.url}  does not answer: ${error.message}`], ...own, [`node ${nodeName}`, 'unknown']])
    return 1
  }
}
function readiness(node: Node): string {
  const condition = node.status?.conditions?.find(({ type }) => type === 'Ready')
  return condition?.status === 'True' ? 'Ready' : `NotReady: ${condition?.message ?? 'it has not reported'}`
}
