// Making the pod's sandbox: its cgroup, its log directory, then the runtime's part with the network.
import type { SandboxConfig } from '../ports/container-runtime.ts'
import type { KubeletContext } from './context.ts'
import { podDns } from './dns-config.ts'
import { bandwidthComplaint, isShaped, podLogDirectory, sandboxConfig, sandboxHostname } from './sandbox.ts'
import { podCgroup, podCgroupResources } from './resources.ts'
import { isHostNetwork, type Pod } from './types.ts'
import { userNamespaceOf } from './user-namespaces.ts'

export type SandboxResult =
  | { readonly ok: true; readonly id: string }
  | { readonly ok: false; readonly message: string }

/** The configuration of a pod's sandbox, the same for its creation and for every container in it. */
export function podSandboxConfig(
  context: KubeletContext,
  pod: Pod,
  attempt: number,
): { readonly ok: true; readonly config: SandboxConfig } | { readonly ok: false; readonly message: string } {
  const hostname = sandboxHostname(pod, context.config.clusterDomain)
  if (!hostname.ok) return hostname
  const complaint = isHostNetwork(pod) ? undefined : bandwidthComplaint(pod)
  if (complaint !== undefined) return { ok: false, message: complaint }
  const dns = podDns(pod, context.dns)
  const config = sandboxConfig(pod, hostname.hostname, {
    attempt,
    logRoot: context.config.podLogsDirectory,
    clusterDomain: context.config.clusterDomain,
    dns,
    cgroupParent: context.host.cgroups.parentFor(podCgroup(pod)),
    userns: userNamespaceOf(pod),
  })
  return { ok: true, config }
}

/** Undefined where the runtime tells nothing of the handler. */
const handlerFeatures = ({ runtimeFeatures }: KubeletContext, handler: string) =>
  runtimeFeatures.handlers.find(({ name }) => name === handler)

/** Boundary: a pod that is shaped with too large a burst runs all the same. */
async function limitBursts({ runtime, host, log }: KubeletContext, id: string): Promise<void> {
  try {
    const pid = await runtime.sandboxPid(id)
    if (pid !== undefined) await host.limitBursts(pid)
  } catch (error) {
    log.warn('cannot limit the bursts of a pod that is shaped', { sandbox: id, error: String(error) })
  }
}

/** Boundary: what the runtime refuses becomes the answer. */
export async function createSandbox(context: KubeletContext, pod: Pod, attempt: number): Promise<SandboxResult> {
  const { runtime, view, host, disk, config: settings } = context
  const made = podSandboxConfig(context, pod, attempt)
  if (!made.ok) return made
  for (const { reason, message } of podDns(pod, context.dns).warnings)
    context.record(pod, undefined, 'Warning', reason, message)
  try {
    const handler = pod.spec.runtimeClassName ? await context.runtimeHandler(pod.spec.runtimeClassName) : ''
    if (handler === undefined) return { ok: false, message: `RuntimeClass "${pod.spec.runtimeClassName}" not found` }
    if (pod.spec.hostUsers === false && handlerFeatures(context, handler)?.userNamespaces !== true)
      return { ok: false, message: `RuntimeHandler "${handler}" does not support user namespaces` }
    await Promise.all([
      host.cgroups.ensure(podCgroup(pod), {
        ...podCgroupResources(pod, settings),
        // CPUs of one's own are not rationed.
        ...(context.cpus.hasOwn(pod.metadata.uid) ? { cpuQuotaUs: -1 } : {}),
      }),
      disk.mkdir(podLogDirectory(settings.podLogsDirectory, pod)),
    ])
    const id = await runtime.runPodSandbox(made.config, handler)
    if (isShaped(pod)) await limitBursts(context, id)
    await view.lookAtSandbox(id)
    return { ok: true, id }
  } catch (error) {
    view.doubt(pod.metadata.uid)
    return { ok: false, message: error instanceof Error ? error.message : String(error) }
  }
}
