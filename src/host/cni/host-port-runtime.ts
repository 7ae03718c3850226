// A runtime whose sandboxes have their host ports: the rules stand before the sandbox is handed out, and go with it.
import type { ContainerRuntime } from '../../ports/container-runtime.ts'
import { hostPortsOf, type PodRules } from './pod-rules.ts'

export function withHostPorts<R extends ContainerRuntime>(runtime: R, rules: PodRules): R {
  return {
    ...runtime,
    async runPodSandbox(config, handler) {
      const id = await runtime.runPodSandbox(config, handler)
      const wanted = config.portMappings.some((mapping) => mapping.hostPort !== 0)
      if (!wanted || config.linux.security.namespaces.network === 'node') return id
      try {
        const status = await runtime.podSandboxStatus(id)
        await rules.add(id, hostPortsOf(config, status?.ips ?? []))
      } catch (error) {
        await runtime.stopPodSandbox(id)
        await runtime.removePodSandbox(id)
        throw error
      }
      return id
    },
    async stopPodSandbox(id) {
      await runtime.stopPodSandbox(id)
      await rules.remove(id)
    },
    async removePodSandbox(id) {
      await runtime.removePodSandbox(id)
      await rules.remove(id)
    },
  }
}
