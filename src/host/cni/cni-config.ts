// The pods' network as a CNI configuration: a pair of devices per pod and a route on the node (ptp), addresses from
// host-local. No bridge: every packet between pods is routed, so service rules and policies see both directions without
// br_netfilter, and nothing is left when the last pod is gone.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Instance } from '../instance.ts'

export interface PodNetworkPlan {
  /** This node's share, one CIDR a family. */
  readonly podCidrs: readonly string[]
  readonly mtu?: number
}
/** Plugins that the configuration names; containerd itself calls loopback. */
export const cniPlugins = ['ptp', 'host-local', 'bandwidth', 'loopback'] as const

/** Where CNI's files of this data directory are. */
export const cniFolders = (instance: Instance) => ({
  confDir: join(instance.dataDir, 'cni', 'net.d'),
  addresses: join(instance.dataDir, 'cni', 'networks'),
})

export function cniConfig(instance: Instance, plan: PodNetworkPlan): unknown {
  return {
    cniVersion: '0.4.0',
    name: instance.network,
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        ...(plan.mtu === undefined ? {} : { mtu: plan.mtu }),
        ipam: {
          type: 'host-local',
          dataDir: cniFolders(instance).addresses,
          ranges: plan.podCidrs.map((subnet) => [{ subnet }]),
          routes: plan.podCidrs.map((cidr) => ({ dst: cidr.includes(':') ? '::/0' : '0.0.0.0/0' })),
        },
      },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
    ],
  }
}

const fileName = '10-coxswain.conflist'
/** Whether the configuration stands from an earlier run. */
export const hasCniConfig = (instance: Instance): boolean => existsSync(join(cniFolders(instance).confDir, fileName))

/** Writes the configuration where containerd watches for it; an equal one is left alone. */
export function writeCniConfig(instance: Instance, plan: PodNetworkPlan): void {
  const { confDir, addresses } = cniFolders(instance)
  for (const folder of [confDir, addresses]) mkdirSync(folder, { recursive: true, mode: 0o755 })
  const path = join(confDir, fileName)
  const content = `${JSON.stringify(cniConfig(instance, plan), undefined, 2)}\n`
  const present = existsSync(path) ? readFileSync(path, 'utf8') : undefined
  if (present !== content) writeFileSync(path, content)
}
