// The node of this machine for a command that serves one: its ports, the kubelet's folders and port, and when it is Ready.
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Node } from '../api/core/node.ts'
import { nodes } from '../api/core/node.ts'
import type { Client } from '../client/client.ts'
import { leftovers } from '../host/cleanup.ts'
import { ContainerdError } from '../host/containerd/containerd.ts'
import { OciRuntimeError } from '../host/containerd/oci-runtimes.ts'
import { createHttpEdge } from '../host/http-edge.ts'
import type { Instance } from '../host/instance.ts'
import { type HostNetwork, type HostNode, type HostNodeOptions, startHostNode } from '../host/ports.ts'
import { systemClock, systemRandom } from '../host/system.ts'
import { claimUsualPaths } from '../host/usual-paths.ts'
import type { NodeAgentOptions } from '../node.ts'
import { PortTakenError } from '../ports/http-edge.ts'
import type { Log } from '../ports/log.ts'
import { CliError } from './command.ts'
import { readRunState } from './data-dir.ts'
import type { NodeSettings } from './node-flags.ts'

const readyMs = 120_000
/** The address of a runtime that is not ours. */
export const sharedRuntimeOf = ({ runtime }: Pick<NodeSettings, 'runtime'>): string | undefined =>
  runtime.startsWith('unix://') ? runtime : undefined

/** Whether an earlier run has left pods on the machine, in order or because it was killed: a start that fails leaves them. */
export const hasEarlierRun = (instance: Instance): boolean =>
  ['containerd', 'cni'].some((name) => existsSync(join(instance.dataDir, name))) &&
  (readRunState(instance.dataDir) !== undefined || leftovers(instance).length > 0)

/** A port that was asked for and is taken is told now, not when the first Ingress comes. */
export async function checkIngressPorts({ ingress }: NodeSettings, log: Log): Promise<void> {
  for (const [flag, port] of [
    ['--ingress-http-port', ingress.httpPort],
    ['--ingress-https-port', ingress.httpsPort],
  ] as const) {
    if (port === undefined) continue
    try {
      const probe = await createHttpEdge({ log }).listen({ port, handle: () => Promise.reject(new Error('not ready')) })
      await probe.close()
    } catch (error) {
      if (!(error instanceof PortTakenError)) throw error
      throw new CliError(`${flag} ${port} is taken by another program: end it, or choose another port`)
    }
  }
}

/** Starts the runtime and the network of a node, or a simulation of both. */
export async function startLocalNode(
  settings: NodeSettings,
  instance: Instance,
  network: HostNetwork,
  log: Log,
  edgeCertificate?: HostNodeOptions['edgeCertificate'],
): Promise<Pick<HostNode, 'ports' | 'release'>> {
  const { runtime, ociRuntime, address, name } = settings
  if (runtime !== 'sim')
    try {
      return await startHostNode({
        instance,
        log,
        network,
        runtime,
        ociRuntime,
        ...(address === undefined ? {} : { address }),
        ...(edgeCertificate === undefined ? {} : { edgeCertificate }),
      })
    } catch (error) {
      // What the machine cannot do, said in one line.
      if (error instanceof ContainerdError || error instanceof OciRuntimeError) throw new CliError(error.message)
      throw error
    }
  // Containers that exist in words only: everything but their processes is real.
  const [{ SimWorld }, { seededRandom }, { simNode }] = await Promise.all([
    import('../sim/world.ts'),
    import('../sim/seeded-random.ts'),
    import('../sim/sim-node.ts'),
  ])
  const world = new SimWorld({ clock: systemClock, random: seededRandom(systemRandom.uuid()) })
  return { ports: await simNode(world, name), release: () => {} }
}

/** What the flags and the machine say to the kubelet. `port` is that of its own API, 0 where there is none. */
export function kubeletConfigOf(
  settings: NodeSettings,
  dataDir: string,
  port: number,
): NonNullable<NodeAgentOptions['config']> {
  const common = { nodeLabels: settings.labels, nodeTaints: settings.taints, port }
  const folders = settings.runtime === 'sim' ? {} : kubeletFolders(dataDir)
  return { ...common, ...folders, ...settings.kubelet }
}
function kubeletFolders(dataDir: string) {
  const staticPodPath = join(dataDir, 'manifests')
  mkdirSync(staticPodPath, { recursive: true })
  // A stub resolver on the loopback device is of no use inside a pod: its upstream servers stand in another file.
  const resolved = '/run/systemd/resolve/resolv.conf'
  const stub = /^nameserver 127\./m.test(existsSync('/etc/resolv.conf') ? readFileSync('/etc/resolv.conf', 'utf8') : '')
  const rootDirectory = join(dataDir, 'kubelet')
  claimUsualPaths(rootDirectory)
  return {
    rootDirectory,
    volumesDirectory: join(dataDir, 'volumes'),
    podLogsDirectory: join(dataDir, 'logs', 'pods'),
    resolvConf: stub && existsSync(resolved) ? resolved : '/etc/resolv.conf',
    staticPodPath,
  }
}

const isReady = (node: Node) =>
  node.status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') === true
/** Resolves when the node says Ready; rejects with what it says instead after two minutes. */
export async function nodeReady(client: Client, name: string): Promise<void> {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), readyMs)
  let last: Node | undefined
  try {
    const query = { fieldSelector: `metadata.name=${name}`, sendInitialEvents: true, signal: stop.signal } as const
    for await (const event of client
      .resource(nodes)
      .watch({ ...query, allowWatchBookmarks: true, resourceVersionMatch: 'NotOlderThan' })) {
      if (event.type === 'BOOKMARK') continue
      last = event.object
      if (isReady(event.object)) return
    }
  } finally {
    clearTimeout(timer)
    stop.abort()
  }
  const why = last?.status?.conditions?.find((condition) => condition.type === 'Ready')?.message
  throw new CliError(`the node does not become Ready: ${why ?? 'it did not register'}; see the log`)
}
