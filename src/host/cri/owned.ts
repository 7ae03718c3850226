// A runtime may serve others too (any CRI socket can be given to cox): what we make carries a label, and what does not
// carry it does not exist for us. A node agent ends the sandboxes it does not know, and these would be somebody else's.
import type { ContainerRuntime } from '../../ports/container-runtime.ts'

const ownerLabel = 'io.coxswain.owner'

/** The same runtime, seeing and making only what belongs to `owner`. */
export function withOwner<R extends ContainerRuntime>(runtime: R, owner: string): R {
  const mark = <T extends { readonly labels: Readonly<Record<string, string>> }>(config: T): T => ({
    ...config,
    labels: { ...config.labels, [ownerLabel]: owner },
  })
  const isOurs = ({ labels }: { readonly labels: Readonly<Record<string, string>> }) => labels[ownerLabel] === owner
  return {
    ...runtime,
    runPodSandbox: (config, handler) => runtime.runPodSandbox(mark(config), handler),
    createContainer: (sandboxId, config, sandboxConfig) =>
      runtime.createContainer(sandboxId, mark(config), mark(sandboxConfig)),
    listPodSandboxes: async () => (await runtime.listPodSandboxes()).filter(isOurs),
    listContainers: async () => (await runtime.listContainers()).filter(isOurs),
    containerStats: async () => (await runtime.containerStats()).filter(isOurs),
  }
}
