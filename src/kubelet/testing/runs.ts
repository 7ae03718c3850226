// Sandboxes and containers for unit tests, as the runtime would report them.
import type { ContainerStatus, SandboxStatus } from '../../ports/container-runtime.ts'
import { containerAnnotations, containerLabels } from '../labels.ts'
import { findContainer, type Pod } from '../types.ts'

export const sandboxOf = (id: string, parts: Partial<SandboxStatus> = {}): SandboxStatus => ({
  id,
  metadata: { name: 'p', uid: 'uid-p', namespace: 'ns', attempt: Number(/\d+$/.exec(id)?.[0] ?? 0) },
  ready: true,
  createdAtMs: 1,
  labels: {},
  annotations: {},
  runtimeHandler: '',
  ips: ['10.1.0.2'],
  namespaces: { network: 'pod', pid: 'container', ipc: 'pod' },
  ...parts,
})

/** The run number `attempt` of a container of the pod; its id is NAME-ATTEMPT. */
export function runOf(
  pod: Pod,
  name: string,
  parts: Partial<ContainerStatus> & { attempt?: number } = {},
): ContainerStatus {
  const { attempt = 0, ...rest } = parts
  const container = findContainer(pod.spec, name)
  if (container === undefined) throw new Error(`the pod has no container ${name}`)
  return {
    id: `${name}-${attempt}`,
    sandboxId: 's0',
    metadata: { name, attempt },
    image: container.image ?? '',
    imageRef: `sha256:${container.image ?? ''}`,
    state: 'running',
    createdAtMs: 1000 + attempt,
    labels: containerLabels(pod, container),
    annotations: containerAnnotations(pod, container, attempt),
    startedAtMs: 2000,
    finishedAtMs: 3000,
    exitCode: 0,
    reason: '',
    message: '',
    logPath: `/logs/${name}/${attempt}.log`,
    mounts: [],
    ...rest,
  }
}
