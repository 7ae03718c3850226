// A node of a cluster whose servers are elsewhere: what `cox agent` runs. It proves itself once with a token, keeps the
// certificate it gets, and opens a tunnel to every server over which logs, exec and the like come.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateKeyPairSync } from 'node:crypto'
import { configMaps } from '../api/core/config-map.ts'
import { type Node, nodes } from '../api/core/node.ts'
import { type EndpointSlice, endpointSlices } from '../api/discovery/endpoint-slice.ts'
import { ApiError, isReason } from '../api/machinery/errors.ts'
import { networkNodeOf } from '../api/core/node-addresses.ts'
import { createClient } from '../client/api-client.ts'
import type { Client } from '../client/client.ts'
import { createInformerFactory, type InformerFactory } from '../client/informer.ts'
import { removeNode } from '../host/cleanup.ts'
import { growHeapSlowly } from '../host/heap.ts'
import { connectionServer, type HttpServer } from '../host/http-server.ts'
import { createHttpTransport } from '../host/http-transport.ts'
import { type Instance, instanceOf } from '../host/instance.ts'
import { keepPlan, keptPlan, type NetworkPlan, refuseLinks } from '../host/network-plan.ts'
import { hostAddresses, linksOf } from '../host/node-host.ts'
import {
  CertificateError,
  type Credentials,
  type CredentialFile,
  clientSigner,
  credentialFile,
  isUsable,
  keepCertificate,
  nodeSubject,
  requestCertificate,
  servingSigner,
  subjectName,
} from '../host/remote-node/certificates.ts'
import { discoverAuthority, JoinError } from '../host/remote-node/discover.ts'
import { serveKubeletPort } from '../host/remote-node/kubelet-port.ts'
import { answerNodeRequest } from '../host/remote-node/serve.ts'
import { createServers, type Servers } from '../host/remote-node/servers.ts'
import { holdsAddress, openTunnel, type TunnelAgent } from '../host/remote-node/tunnel-agent.ts'
import { systemClock, systemRandom } from '../host/system.ts'
import { selfSigned } from '../host/x509/certificate.ts'
import { type ClusterNetwork, startNode } from '../node.ts'
import type { Log } from '../ports/log.ts'
import type { NodeApi } from '../ports/node-api.ts'
import { TransportError } from '../ports/transport.ts'
import { CliError } from './command.ts'
import { removeRunState, writeRunState } from './data-dir.ts'
import { lockDataDir } from './data-lock.ts'
import { networkConfigMap, networkOf } from './join-objects.ts'
import {
  checkIngressPorts,
  hasEarlierRun,
  kubeletConfigOf,
  nodeReady,
  sharedRuntimeOf,
  startLocalNode,
} from './local-node.ts'
import type { NodeSettings } from './node-flags.ts'
import { openLog } from './log-file.ts'
import type { Serving } from './service.ts'

export interface AgentOptions {
  readonly dataDir: string
  /** https://HOST:PORT; undefined: the one of last time. */
  readonly server: string | undefined
  readonly token: string | undefined
  readonly caHash: string | undefined
  readonly node: NodeSettings
}
const clock = systemClock
const certificateTimeoutMs = 60_000
const kubeletPort = 10250

/** Joins and serves; rejects with CliError, and then nothing is left but what an earlier run left. */
export async function serveAgent(options: AgentOptions, onProgress: (text: string) => void): Promise<Serving> {
  const undo: (() => unknown)[] = [lockDataDir(options.dataDir)]
  try {
    return await start(options, onProgress, undo)
  } catch (error) {
    if (undo.length > 1) onProgress('taking away what was begun')
    for (const step of undo.toReversed()) await step()
    if (error instanceof JoinError || error instanceof CertificateError) throw new CliError(error.message)
    throw error
  }
}

async function start(
  options: AgentOptions,
  onProgress: (text: string) => void,
  undo: (() => unknown)[],
): Promise<Serving> {
  // The machine is its pods'.
  growHeapSlowly()
  const { dataDir, node } = options
  const instance = instanceOf(dataDir)
  const log = openLog(dataDir)
  await checkIngressPorts(node, log)
  const membership = await joinCluster(options, onProgress)
  const { caPem, file, server } = membership
  // A machine that was shut down in order has left nothing that runs, and its pods wait for it.
  const resumed = membership.kept || hasEarlierRun(instance)
  const credentials = () => file.read() ?? membership.first
  const servers = createServers(server, (url) => createHttpTransport({ url, ca: caPem, credentials }))
  undo.push(() => servers.close?.())
  const client = createClient(servers, { userAgent: 'kubelet' })
  const network = await readNetwork(client, server, dataDir, onProgress)
  const plan = planOf(network)
  if (node.runtime !== 'sim') refuseOverlap(plan, joinLinks(instance, node), server)
  keepPlan(instance, plan)
  onProgress(`joined the cluster at ${server} as ${node.name}`)

  const removeAll = () =>
    node.runtime === 'sim'
      ? Promise.resolve()
      : removeNode({ instance, onProgress, sharedRuntime: sharedRuntimeOf(node) })
  if (!resumed) undo.push(removeAll)
  const hostNode = await startLocalNode(node, instance, network, log)
  undo.push(() => hostNode.release())
  let found: (api: NodeApi) => void = () => {}
  const api = new Promise<NodeApi>((resolve) => {
    found = resolve
  })
  const serving = credentialFile(join(dataDir, 'pki'), 'kubelet-server')
  const port = await openPort(options, client, api, serving, caPem, log)
  undo.push(() => port?.close(0))
  const started = await startNode({
    name: node.name,
    ports: hostNode.ports,
    clock,
    random: systemRandom,
    log,
    network,
    kubeletTransport: servers,
    networkTransport: servers,
    config: kubeletConfigOf(node, dataDir, port?.port ?? 0),
    ingress: node.ingress,
    bookmarks: true,
  })
  found(started.kubelet.api)
  undo.push(() => started.stop({ pods: 'keep' }))
  const informers = createInformerFactory({ client, clock, random: systemRandom, log })
  const stopKeeping = keepCertificates({ client, file, serving, port, informers, node, log })
  const tunnels = keepTunnels({ servers, informers, api: started.kubelet.api, credentials, caPem, node, log })
  const stopAll = () => {
    stopKeeping()
    tunnels.stop()
    informers.stop()
  }
  undo.push(stopAll)
  const state = { role: 'agent', url: server, runtime: node.runtime, store: 'none', nodeName: node.name } as const
  writeRunState(dataDir, { ...state, startedAt: new Date().toISOString() })
  undo.push(() => removeRunState(dataDir))
  return {
    url: server,
    nodeName: node.name,
    ready: nodeReady(client, node.name),
    resumed,
    shutdown: () => started.kubelet.shutdown(),
    async stop(pods) {
      onProgress(pods === 'remove' ? 'stopping pods' : 'stopping; pods keep running')
      stopAll()
      await started.stop({ pods })
      await port?.close(0)
      hostNode.release()
      servers.close?.()
      if (pods === 'remove') await removeAll()
      removeRunState(dataDir)
      await undo[0]?.()
    },
  }
}

interface Membership {
  readonly server: string
  readonly caPem: string
  readonly file: CredentialFile
  readonly first: Credentials
  /** From an earlier run. */
  readonly kept: boolean
}
/** What an earlier run of this data directory has joined, or a new membership by token. */
async function joinCluster(options: AgentOptions, onProgress: (text: string) => void): Promise<Membership> {
  const { dataDir, token, caHash, node } = options
  const folder = join(dataDir, 'pki')
  const file = credentialFile(folder, 'kubelet-client')
  const caFile = join(folder, 'ca.crt')
  const serverFile = join(dataDir, 'server')
  const server = options.server ?? (existsSync(serverFile) ? readFileSync(serverFile, 'utf8').trim() : undefined)
  if (server === undefined) throw new CliError('name the server to join: --server https://HOST:6443', 2)
  const kept = existsSync(caFile) ? file.read() : undefined
  if (kept !== undefined) {
    const caPem = readFileSync(caFile, 'utf8')
    if (isUsable(kept, caPem, clock.now())) {
      mustBeNamed(kept, node.name, dataDir)
      return { server, caPem, file, first: kept, kept: true }
    }
  }
  if (token === undefined)
    throw new CliError(
      kept === undefined
        ? 'say by which right: --token ID.SECRET ("cox token create" on a server prints it)'
        : 'the certificate of this node has ended: join again with --token ("cox token create" on a server prints one)',
      kept === undefined ? 2 : 1,
    )
  onProgress(`asking ${server} for its cluster`)
  const caPem = await discoverAuthority({ url: server, token, caHash, nowMs: clock.now() })
  const transport = createHttpTransport({ url: server, ca: caPem, token: () => token })
  try {
    const client = createClient(transport, { userAgent: 'kubelet' })
    await nameMustBeFree(client, node.name, server)
    onProgress('asking for a certificate')
    const wish = { signer: clientSigner, subject: nodeSubject(node.name), names: {} } as const
    const first = await requestCertificate(client, clock, wish, certificateTimeoutMs)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(caFile, caPem)
    writeFileSync(serverFile, `${server}\n`)
    file.write(first)
    return { server, caPem, file, first, kept: false }
  } catch (error) {
    if (error instanceof ApiError && error.code === 401)
      throw new CliError(`the server at ${server} does not take the token: "cox token create" makes a new one`)
    throw error
  } finally {
    transport.close?.()
  }
}

function mustBeNamed({ certificatePem }: Credentials, name: string, dataDir: string): void {
  const known = subjectName(certificatePem)
  if (known !== `system:node:${name}`)
    throw new CliError(
      `${dataDir} belongs to the node "${known.replace('system:node:', '')}": use that --node-name, or another --data-dir`,
    )
}
async function nameMustBeFree(client: Client, name: string, server: string): Promise<void> {
  const taken = await client.resource(nodes).find(name)
  const ready = taken?.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')
  if (ready === true)
    throw new CliError(`the cluster at ${server} has a node "${name}" that is Ready: choose another with --node-name`)
}

/** What the cluster tells of its network. A node that has been told once starts without its servers: pods run on it. */
async function readNetwork(
  client: Client,
  server: string,
  dataDir: string,
  onProgress: (text: string) => void,
): Promise<ClusterNetwork> {
  const kept = join(dataDir, 'cluster-network.json')
  try {
    const network = networkOf(await client.resource(configMaps).get(networkConfigMap.name, networkConfigMap.namespace))
    writeFileSync(kept, `${JSON.stringify(network)}\n`)
    return network
  } catch (error) {
    if (error instanceof TransportError) {
      if (!existsSync(kept)) throw new CliError(`no server answers at ${server}: ${error.message}`)
      onProgress(`no server answers at ${server}, going on without: ${error.message}`)
      return JSON.parse(readFileSync(kept, 'utf8')) as ClusterNetwork
    }
    if (isReason(error, 'NotFound'))
      throw new CliError(`the cluster at ${server} is not one of Coxswain's: it does not tell its network`)
    throw error
  }
}
/** A machine among whose own neighbours the cluster's pods would be cannot tell them apart. */
function refuseOverlap(plan: NetworkPlan, links: readonly string[], server: string): void {
  const refused = refuseLinks(plan, links)
  if (refused !== undefined)
    throw new CliError(
      `this machine cannot be a node of the cluster at ${server}, which was begun with other ranges than its links have room for: ${refused}`,
    )
}
/** A machine that joins is asked for all its links; a node that starts again is not kept from its pods by one that came later. */
function joinLinks(instance: Instance, { address }: NodeSettings): readonly string[] {
  if (keptPlan(instance) === undefined) return linksOf()
  return linksOf(address === undefined ? hostAddresses() : [address])
}
/** The same facts as a data directory keeps of a cluster of its own. */
const planOf = ({ clusterCidrs, serviceCidrs, dnsAddresses }: ClusterNetwork): NetworkPlan => ({
  clusterCidr: clusterCidrs[0] ?? '',
  nodeCidr: '',
  serviceCidr: serviceCidrs[0] ?? '',
  dnsAddress: dnsAddresses[0] ?? '',
  apiAddress: '',
  ...(clusterCidrs[1] === undefined
    ? {}
    : {
        six: {
          clusterCidr: clusterCidrs[1],
          nodeCidr: '',
          serviceCidr: serviceCidrs[1] ?? '',
          dnsAddress: dnsAddresses[1] ?? '',
        },
      }),
})

/** Opens the kubelet's port: with the certificate that the cluster gave, or with one of its own until it does. */
async function openPort(
  { node }: AgentOptions,
  client: Client,
  api: Promise<NodeApi>,
  serving: CredentialFile,
  caPem: string,
  log: Log,
): Promise<HttpServer | undefined> {
  if (node.runtime === 'sim') return undefined
  const kept = serving.read()
  const credentials =
    kept !== undefined && isUsable(kept, caPem, clock.now())
      ? kept
      : selfSigned(node.name, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, clock.now())
  return serveKubeletPort({
    api,
    nodeName: node.name,
    client,
    clock,
    log,
    credentials,
    clientCa: caPem,
    port: kubeletPort,
  })
}

interface KeepOptions {
  readonly client: Client
  readonly file: CredentialFile
  readonly serving: CredentialFile
  readonly port: HttpServer | undefined
  readonly informers: InformerFactory
  readonly node: NodeSettings
  readonly log: Log
}
/** Keeps both certificates renewed. The serving one is asked for when the Node tells its addresses: they are in it. */
function keepCertificates({ client, file, serving, port, informers, node, log }: KeepOptions): () => void {
  const subject = nodeSubject(node.name)
  const common = { client, clock, random: systemRandom, log }
  const kept = [
    keepCertificate({
      ...common,
      file,
      wish: () => ({ signer: clientSigner, subject, names: {} }),
      onNew: () => undefined,
    }),
  ]
  if (port !== undefined) {
    const addresses = node.address === undefined ? hostAddresses() : [node.address]
    const own = informers.informer(nodes, { fieldSelector: `metadata.name=${node.name}` })
    const listed = () => own.get(node.name)?.status.addresses?.some(({ type }) => type === 'InternalIP') === true
    void own.until(listed).then(() => {
      kept.push(
        keepCertificate({
          ...common,
          file: serving,
          wish: () => ({ signer: servingSigner, subject, names: { dnsNames: [node.name], ipAddresses: addresses } }),
          onNew: ({ certificatePem, keyPem }) => port.renew(certificatePem, keyPem),
        }),
      )
    })
  }
  return () => {
    for (const one of kept) one.stop()
  }
}

interface TunnelsOptions {
  readonly servers: Servers
  readonly informers: InformerFactory
  readonly api: NodeApi
  readonly credentials: () => Credentials
  readonly caPem: string
  readonly node: NodeSettings
  readonly log: Log
}
/** A tunnel to every server that the kubernetes Service names, and to the one that was given. */
function keepTunnels(options: TunnelsOptions): { stop(): void } {
  const { servers, informers, api, credentials, caPem, node, log } = options
  const open = new Map<string, TunnelAgent>()
  const serveKubelet = connectionServer((request) => answerNodeRequest(api, request, log), log)
  const own = informers.informer(nodes, { fieldSelector: `metadata.name=${node.name}` })
  const mayReach = (host: string) => isOwn(own.get(node.name), host)
  const follow = () => {
    for (const url of servers.urls)
      if (!open.has(url)) open.set(url, openTunnel({ url, caPem, credentials, serveKubelet, mayReach, clock, log }))
    for (const [url, tunnel] of open) {
      if (servers.urls.includes(url)) continue
      tunnel.close()
      open.delete(url)
    }
  }
  const see = () => {
    servers.update([...slices.list()].flatMap(serverUrls))
    follow()
  }
  const slices = informers.informer(endpointSlices, {
    namespace: 'default',
    labelSelector: 'kubernetes.io/service-name=kubernetes',
  })
  const off = slices.handle({ add: see, update: see, delete: see })
  follow()
  return {
    stop() {
      off()
      for (const tunnel of open.values()) tunnel.close()
    },
  }
}
function serverUrls(slice: EndpointSlice): string[] {
  const port = slice.ports?.find(({ name }) => name === 'https')?.port ?? 6443
  const addresses = (slice.endpoints ?? []).flatMap((endpoint) => [...endpoint.addresses])
  return addresses.map((a) => `https://${a.includes(':') ? `[${a}]` : a}:${port}`)
}
/** An address of this node or of one of its pods. */
function isOwn(node: Node | undefined, host: string): boolean {
  const own = node === undefined ? undefined : networkNodeOf(node)
  return own !== undefined && holdsAddress(own, host)
}
