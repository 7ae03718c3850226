// What the kubelet makes on the node before the first pod: its directories, the tmpfs for secrets, the cgroups by class.
import { amount, cpuShares } from './resources.ts'
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
  config: Reserved,
  cpu: string | undefined,
  memoryBytes: number,
  pidsMax: number,
): CgroupResources {
  const reserved = (name: string) => amount(config.systemReserved, name) + amount(config.kubeReserved, name)
  const [memory, pids] = [reserved('memory'), reserved('pid')]
  return {
    cpuShares: cpuShares(amount({ cpu: cpu ?? '0' }, 'cpu')),
    memoryBytes: memory === 0 ? -1 : Math.max(0, memoryBytes - memory),
    ...(pids === 0 ? {} : { pidsMax: Math.max(1, pidsMax - pids) }),
  }
}
type Reserved = Pick<KubeletConfig, 'systemReserved' | 'kubeReserved'>

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
