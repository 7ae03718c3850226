// Flags that say what a node is like; `cox up` and `cox agent` share them.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import os from 'node:os'
import { resolve } from 'node:path'
import { isDns1123Subdomain, isValidLabelValue, isQualifiedName } from '../api/machinery/validation.ts'
import { machineFacts } from '../host/node-host.ts'
import {
  checkForMachine,
  KubeletConfigurationError,
  type KubeletSettings,
  readKubeletConfiguration,
} from '../kubelet-configuration.ts'
import { type OciRuntimeChoice, ociRuntimeNames } from '../host/containerd/oci-runtimes.ts'
import type { NodeAgentOptions } from '../node.ts'
import { CliError, type Flag, type Invocation, note } from './command.ts'

export type RuntimeChoice = 'containerd' | 'sim' | `unix://${string}`
export interface NodeSettings {
  readonly name: string
  /** The node's address, when the one on the default route is not meant. */
  readonly address: string | undefined
  readonly runtime: RuntimeChoice
  readonly ociRuntime: OciRuntimeChoice
  readonly labels: Readonly<Record<string, string>>
  readonly taints: readonly { readonly key: string; readonly value?: string; readonly effect: string }[]
  /** What a KubeletConfiguration says. */
  readonly kubelet: KubeletSettings
  /** Ports of the ingress; without them 80 and 443, or free ones. */
  readonly ingress: NonNullable<NodeAgentOptions['ingress']>
}

export const nodeFlags = {
  runtime: {
    type: 'string',
    value: 'NAME',
    help: 'containerd (our own, default), sim (simulated containers, needs no root), or unix:///PATH.sock of any CRI runtime',
  },
  'oci-runtime': {
    type: 'string',
    value: 'NAME',
    help: 'what our containerd makes containers with: crun, runc, or auto (default): crun where it works, else runc; a RuntimeClass may name either',
  },
  'node-name': { type: 'string', value: 'NAME', help: "the Node's name (default: the host's)" },
  'node-ip': { type: 'string', value: 'IP', help: "the Node's address (default: the one on the default route)" },
  labels: { type: 'string', multiple: true, value: 'KEY=VALUE,...', help: 'labels of the Node' },
  taints: {
    type: 'string',
    multiple: true,
    value: 'KEY=VALUE:EFFECT,...',
    help: 'taints of the Node when it registers; EFFECT is NoSchedule, PreferNoSchedule or NoExecute',
  },
  'ingress-http-port': {
    type: 'string',
    value: 'PORT',
    help: 'port of the node for Ingresses (default: 80, or a free one where 80 is taken)',
  },
  'ingress-https-port': {
    type: 'string',
    value: 'PORT',
    help: 'the same for TLS (default: 443, or a free one where 443 is taken)',
  },
  'kubelet-config': {
    type: 'string',
    value: 'FILE',
    help: "settings of the node agent: a KubeletConfiguration, as upstream's kubelet reads it",
  },
  'image-credential-provider-config': {
    type: 'string',
    value: 'FILE',
    help: 'a CredentialProviderConfig: programs that know credentials of registries',
  },
  'image-credential-provider-bin-dir': { type: 'string', value: 'DIR', help: 'folder of these programs' },
  yes: { type: 'boolean', short: 'y', help: 'install missing packages without asking' },
} as const satisfies Record<string, Flag>

const ociRuntimeChoices: readonly OciRuntimeChoice[] = ['auto', ...ociRuntimeNames]
const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute']
const isLabel = (key: string, value = ''): boolean =>
  isQualifiedName(key).length === 0 && isValidLabelValue(value).length === 0

export function nodeSettingsOf(call: Invocation): NodeSettings {
  const name = call.flag('node-name') ?? os.hostname().toLowerCase()
  if (isDns1123Subdomain(name).length > 0)
    throw new CliError(`--node-name wants lower-case letters, digits, "-" and ".", not "${name}"`, 2)
  const address = call.flag('node-ip')
  if (address !== undefined && isIP(address) === 0)
    throw new CliError(`--node-ip wants an IP address, not "${address}"`, 2)
  const runtime = runtimeOf(call.flag('runtime'))
  return {
    name,
    address,
    runtime,
    ociRuntime: ociRuntimeOf(call.flag('oci-runtime'), runtime),
    labels: Object.fromEntries(listOf(call, 'labels').map(labelOf)),
    taints: listOf(call, 'taints').map(taintOf),
    kubelet: { ...kubeletOf(call.flag('kubelet-config'), runtime), ...providersOf(call) },
    ingress: {
      ...portOf('ingress-http-port', 'httpPort', call),
      ...portOf('ingress-https-port', 'httpsPort', call),
    },
  }
}
function providersOf(call: Invocation): KubeletSettings {
  const [config, binDirectory] = ['config', 'bin-dir'].map((end) => call.flag(`image-credential-provider-${end}`))
  if (config === undefined && binDirectory === undefined) return {}
  if (config === undefined || binDirectory === undefined)
    throw new CliError('--image-credential-provider-config and --image-credential-provider-bin-dir go together', 2)
  return { credentialProviderConfig: resolve(config), credentialProviderBinDirectory: resolve(binDirectory) }
}
/** The settings in a KubeletConfiguration file. */
function kubeletOf(path: string | undefined, runtime: NodeSettings['runtime']): NodeSettings['kubelet'] {
  if (path === undefined) return {}
  try {
    const { config, ignored } = readKubeletConfiguration(readFileSync(path, 'utf8'))
    if (ignored.length > 0) note(`cox: ${path}: passed over, as they mean nothing here: ${ignored.join(', ')}`)
    if (runtime !== 'sim') checkForMachine(config, machineFacts(undefined))
    return config
  } catch (error) {
    if (error instanceof KubeletConfigurationError)
      throw new CliError(`--kubelet-config ${path}: ${error.message.replaceAll('\n', '\n  ')}`, 2)
    const why = error instanceof Error ? error.message.split(',')[0] : String(error)
    throw new CliError(`--kubelet-config ${path}: cannot be read: ${why}`, 2)
  }
}
function portOf<K extends string>(flag: string, key: K, call: Invocation): { readonly [P in K]?: number } {
  const text = call.flag(flag)
  if (text === undefined) return {}
  const port = Number(text)
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535)
    throw new CliError(`--${flag} wants a port from 1 to 65535, not "${text}"`, 2)
  return { [key]: port } as { readonly [P in K]?: number }
}
const listOf = (call: Invocation, flag: string): string[] =>
  call
    .flags(flag)
    .flatMap((text) => text.split(','))
    .filter((text) => text !== '')

export function runtimeOf(text = 'containerd'): RuntimeChoice {
  if (text === 'containerd' || text === 'sim') return text
  if (text.startsWith('unix:///')) return text as RuntimeChoice
  throw new CliError(`--runtime wants containerd, sim or unix:///PATH.sock, not "${text}"`, 2)
}

function ociRuntimeOf(text: string | undefined, runtime: RuntimeChoice): OciRuntimeChoice {
  const choice = ociRuntimeChoices.find((name) => name === (text ?? 'auto'))
  if (choice === undefined) throw new CliError(`--oci-runtime wants auto, runc or crun, not "${text}"`, 2)
  if (text !== undefined && runtime !== 'containerd')
    throw new CliError(`--oci-runtime is for our own containerd; with --runtime ${runtime} that runtime decides`, 2)
  return choice
}

function labelOf(text: string): [string, string] {
  const [key = '', value = ''] = text.split('=', 2)
  if (!text.includes('=') || !isLabel(key, value)) throw new CliError(`--labels wants KEY=VALUE, not "${text}"`, 2)
  if (/(^|\.)(kubernetes|k8s)\.io\//.test(key) && !/^(node|kubelet|topology)\.kubernetes\.io\//.test(key))
    throw new CliError(
      `--labels: a node may not give itself "${key}"; an administrator can: kubectl label node NAME ${text}`,
      2,
    )
  return [key, value]
}
function taintOf(text: string): NodeSettings['taints'][number] {
  const match = /^([^=:]+)(?:=([^:]*))?:(\w+)$/.exec(text)
  const [, key = '', value, effect = ''] = match ?? []
  if (!isLabel(key, value) || !effects.includes(effect))
    throw new CliError(`--taints wants KEY[=VALUE]:EFFECT with one of ${effects.join(', ')}, not "${text}"`, 2)
  return { key, effect, ...(value === undefined ? {} : { value }) }
}
