// What the kubelet makes on the node before the first pod: its directories, the tmpfs for secrets, the cgroups by class.
import { amount, cpuShares, reservedAmount } from './resources.ts'
import type { CgroupResources } from '../ports/node-host.ts'
import type { KubeletConfig } from './config.ts'
import type { KubeletContext } from './context.ts'
import { podsRoot, secretsRoot } from './paths.ts'

const secretsBytes = 256 * 2 ** 20

export async function prepareNode(context: KubeletContext): Promise<void> {
  const { disk, config } = context
  // Before anything is mounted below: volumes mounted with Bidirectional propagation must reach all containers.
  await disk.mkdir(config.rootDirectory)
  await disk.makeShared(config.rootDirectory)
  await Promise.all([
    disk.mkdir(podsRoot(config.rootDirectory), { mode: 0o750 }),
    disk.mkdir(config.podLogsDirectory),
    disk.mkdir(`${config.rootDirectory}/seccomp`),
    prepareSecrets(context),
    prepareCgroups(context),
    limitReserved(context),
  ])
}
async function prepareSecrets({ disk, config }: KubeletContext): Promise<void> {
  const root = secretsRoot(config.rootDirectory)
  await disk.mkdir(root, { mode: 0o755 })
  const mounts = await disk.mounts(root)
  if (!mounts.some((mount) => mount.target === root))
    await disk.mountTmpfs(root, { mode: 0o755, sizeBytes: secretsBytes })
}
/** Pods as a whole get no more than what is not reserved for the system and for us. */
export function podsCgroup(
  config: Reserved & Pick<KubeletConfig, 'enforceNodeAllocatable'>,
  cpu: string | undefined,
  memoryBytes: number,
  pidsMax: number,
): CgroupResources {
  const enforced = config.enforceNodeAllocatable.includes('pods')
  const [memory, pids] = enforced ? [reservedAmount(config, 'memory'), reservedAmount(config, 'pid')] : [0, 0]
  return {
    cpuShares: cpuShares(amount({ cpu: cpu ?? '0' }, 'cpu')),
    memoryBytes: memory === 0 ? -1 : Math.max(0, memoryBytes - memory),
    ...(pids === 0 ? {} : { pidsMax: Math.max(1, pidsMax - pids) }),
  }
}
/** What is reserved for the system and for us is their limit too, where that is asked for. Throws where a group is missing. */
async function limitReserved({ host, config }: KubeletContext): Promise<void> {
  for (const [key, reserved, cgroup, title] of [
    ['system-reserved', config.systemReserved, config.systemReservedCgroup, 'System'],
    ['kube-reserved', config.kubeReserved, config.kubeReservedCgroup, 'Kube'],
  ] as const) {
    const whole = config.enforceNodeAllocatable.includes(key)
    if (cgroup === undefined || !(whole || config.enforceNodeAllocatable.includes(`${key}-compressible`))) continue
    if (!(await host.cgroups.limit(cgroup, reservedResources(reserved, whole))))
      throw new Error(`Failed to enforce ${title} Reserved Cgroup Limits on "${cgroup}": cgroup does not exist`)
  }
}
/** Limits of a group for which so much is reserved; not `whole`: of what can be pressed together only. */
export function reservedResources(reserved: Readonly<Record<string, string>>, whole: boolean): CgroupResources {
  const [cpu, memory, pids] = ['cpu', 'memory', 'pid'].map((name) => amount(reserved, name)) as [number, number, number]
  return {
    ...(cpu === 0 ? {} : { cpuShares: cpuShares(cpu) }),
    ...(memory === 0 || !whole ? {} : { memoryBytes: memory }),
    ...(pids === 0 || !whole ? {} : { pidsMax: pids }),
  }
}
type Reserved = Parameters<typeof reservedAmount>[0]

async function prepareCgroups({ host, allocatable, config, machine }: KubeletContext): Promise<void> {
  const { cgroups } = host
  const { pidsMax } = await host.usage()
  await cgroups.ensure('/kubepods', podsCgroup(config, allocatable()['cpu'], machine.memoryBytes, pidsMax))
  await Promise.all([
    cgroups.ensure('/kubepods/burstable', { cpuShares: 2 }),
    cgroups.ensure('/kubepods/besteffort', { cpuShares: 2 }),
  ])
}

/** Takes it all away again, when no pod is left. */
export async function unprepareNode({ disk, host, config }: KubeletContext): Promise<void> {
  const root = config.rootDirectory
  for (const mount of [...(await disk.mounts(root))].reverse()) await disk.unmount(mount.target)
  await disk.remove(podsRoot(root))
  await host.cgroups.remove('/kubepods')
}
