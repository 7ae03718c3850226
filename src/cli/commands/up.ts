// cox up: checks what can be checked before anything is begun, then serves here or in a process of its own.
import { existsSync, readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { parseIpRange } from '../../api/machinery/ip-range.ts'
import { AddressRangeError, type AskedRanges, askedRanges } from '../../host/address-ranges.ts'
import { apiChoiceOf, apiFlags } from '../api-flags.ts'
import { type Command, CliError, dataDirFlag, type Invocation, out } from '../command.ts'
import { dataDirOf, kubeconfigPath, runningServer } from '../data-dir.ts'
import { listenOf } from '../listen.ts'
import { requireMachine } from '../machine.ts'
import { nodeFlags, nodeSettingsOf } from '../node-flags.ts'
import type { ServeOptions, StoreChoice } from '../serve.ts'
import { schedulerOf } from '../scheduler-plugins.ts'
import { detach, isDetached, serveHere, type Service } from '../service.ts'

/** Flags of whatever serves an API. */
export const serverFlags = {
  ...dataDirFlag,
  listen: {
    type: 'string',
    value: 'HOST:PORT',
    help: 'address of the API (default: every address, 6443 or a free port)',
  },
  'advertise-address': {
    type: 'string',
    value: 'IP',
    help: 'address by which nodes and pods reach the API (default: the one on the default route)',
  },
  store: {
    type: 'string',
    value: 'NAME',
    help: 'lmdb (default), memory (forgets everything at the end), or etcd=http://HOST:2379,... for an etcd of yours',
  },
  'server-token': {
    type: 'string',
    value: 'TEXT|FILE',
    help: "with etcd: the secret that all of its servers share (the file server-token in the first one's data directory)",
  },
  'scheduler-config': {
    type: 'string',
    value: 'FILE',
    help: "profiles and plugins of the scheduler: a KubeSchedulerConfiguration, as upstream's scheduler reads it",
  },
  'dual-stack': {
    type: 'boolean',
    help: 'pods have an IPv6 address beside the IPv4 one, and Services may; decided at the first start',
  },
  'cluster-cidr': {
    type: 'string',
    value: 'CIDR[,CIDR]',
    help: 'addresses of pods, IPv4 and then IPv6; decided at the first start (default: a free /16 of 10.130.0.0 to 10.189.255.255)',
  },
  'service-cidr': {
    type: 'string',
    value: 'CIDR[,CIDR]',
    help: 'cluster IPs of Services, likewise (default: a free /16 of 10.190.0.0 to 10.249.255.255)',
  },
  'load-balancer-pool': {
    type: 'string',
    value: 'RANGE,...',
    help: "addresses for Services of type LoadBalancer, as CIDRs or FIRST-LAST, announced on the node's links (default: the node's own)",
  },
  kubeconfig: { type: 'string', value: 'FILE', help: 'merge the context "coxswain" into this file too' },
  detach: { type: 'boolean', short: 'd', help: 'return when the cluster is ready, and leave it running' },
  ...apiFlags,
} as const satisfies Command['flags']

export const up: Command = {
  name: 'up',
  summary:
    'Start a cluster on this machine. Ctrl-C takes everything away again, pods included; SIGTERM leaves the pods running for the next start.',
  usage: 'up [flags]',
  flags: { ...serverFlags, ...nodeFlags },
  async run(call) {
    const options = { ...(await serveOptionsOf(call, 'up')), node: nodeSettingsOf(call) }
    const { dataDir, node } = options
    await requireMachine(node, call.on('yes'))
    return runService(call, {
      dataDir,
      start: async (onProgress) => (await import('../serve.ts')).serve(options, onProgress),
      sayReady(url, nodeName) {
        const flag = dataDir === '/var/lib/coxswain' ? '' : ` --data-dir ${dataDir}`
        out(`the cluster is ready: ${url}, node ${nodeName ?? ''}\n`)
        out(
          `  kubectl --kubeconfig ${kubeconfigPath(dataDir)} get nodes\n  cox get pods -A${flag}\n  cox down${flag}\n`,
        )
      },
    })
  },
}

/** Here, or with --detach in a process of its own. */
export const runService = (call: Invocation, service: Service): Promise<number> =>
  call.on('detach') && !isDetached() ? detach(service) : serveHere(service)

/** Throws CliError for words that are no flags, and where a cluster runs in the directory already. */
export async function serveOptionsOf(call: Invocation, command: string): Promise<Omit<ServeOptions, 'node'>> {
  const [extra] = call.positionals
  if (extra !== undefined) throw new CliError(`unexpected word "${extra}"; "cox ${command} --help" lists the flags`, 2)
  const dataDir = dataDirOf(call)
  const running = runningServer(dataDir)
  if (running !== undefined)
    throw new CliError(
      `a cluster runs already in ${dataDir} (process ${running.pid}, ${running.url}): "cox down" ends it`,
    )
  return {
    dataDir,
    listen: listenOf(call.flag('listen')),
    store: storeOf(call.flag('store')),
    kubeconfig: call.flag('kubeconfig'),
    dualStack: call.on('dual-stack'),
    asked: rangesOf(call.flag('cluster-cidr'), call.flag('service-cidr')),
    loadBalancerPool: poolOf(call.flag('load-balancer-pool')),
    advertiseAddress: addressOf(call.flag('advertise-address')),
    api: apiChoiceOf(call),
    scheduler: await schedulerOf(call.flag('scheduler-config')),
    serverToken: serverTokenOf(call.flag('server-token') ?? process.env['COX_SERVER_TOKEN']),
  }
}
/** The secret itself, or what stands in a file of that name. */
const serverTokenOf = (text: string | undefined): string | undefined =>
  text !== undefined && existsSync(text) ? readFileSync(text, 'utf8').trim() : text
function rangesOf(clusterFlag: string | undefined, serviceFlag: string | undefined): AskedRanges {
  try {
    return askedRanges(clusterFlag, serviceFlag)
  } catch (error) {
    if (error instanceof AddressRangeError) throw new CliError(error.message, 2)
    throw error
  }
}
function poolOf(text: string | undefined): readonly string[] {
  const ranges = text?.split(',') ?? []
  for (const range of ranges)
    if (parseIpRange(range) === undefined)
      throw new CliError(
        `--load-balancer-pool wants ranges such as 192.0.2.64/28 or 192.0.2.64-192.0.2.80, not "${range}"`,
        2,
      )
  return ranges
}
function addressOf(text: string | undefined): string | undefined {
  if (text === undefined || isIP(text) !== 0) return text
  throw new CliError(`--advertise-address wants an IP address, not "${text}"`, 2)
}
export function storeOf(text = 'lmdb'): StoreChoice {
  if (text === 'lmdb' || text === 'memory') return text
  const urls = /^etcd=(.+)$/.exec(text)?.[1]?.split(',')
  if (urls?.every((url) => /^https?:\/\/[^/\s]+$/.test(url)) === true) return text as StoreChoice
  throw new CliError(`--store wants lmdb, memory or etcd=http://HOST:2379,..., not "${text}"`, 2)
}
