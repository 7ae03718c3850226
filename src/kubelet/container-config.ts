// One container as the runtime is asked for it: everything is resolved before (environment, mounts, image, user), so this
// is a pure translation.
import type { ContainerConfig, LinuxResources, Mount, RuntimeImage } from '../ports/container-runtime.ts'
import type { EnvEntry } from './env.ts'
import { expand } from './expand.ts'
import { containerAnnotations, containerLabels } from './labels.ts'
import { containerSecurity, type SecurityInputs } from './security.ts'
import type { AnyContainer, Pod } from './types.ts'

export interface ContainerInputs extends Omit<SecurityInputs, 'image'> {
  readonly restartCount: number
  readonly image: RuntimeImage
  /** What to run: an image id or reference that the runtime knows. */
  readonly imageRef: string
  readonly env: readonly EnvEntry[]
  readonly mounts: readonly Mount[]
  readonly devices: ContainerConfig['devices']
  /** Of device plugins, beside our own. */
  readonly annotations?: Readonly<Record<string, string>>
  readonly cdiDevices?: readonly string[]
  readonly resources: LinuxResources
}
export type ContainerConfigResult =
  | { readonly ok: true; readonly config: ContainerConfig }
  | { readonly ok: false; readonly message: string }

/** The log's place under the sandbox's log directory. */
export const containerLogPath = (name: string, restartCount: number): string => `${name}/${restartCount}.log`

export function containerConfig(pod: Pod, container: AnyContainer, inputs: ContainerInputs): ContainerConfigResult {
  const security = containerSecurity(pod, container, inputs)
  if (!security.ok) return security
  const values = new Map(inputs.env.map(({ key, value }) => [key, value]))
  const expanded = (words: readonly string[] | undefined) =>
    (words ?? []).map((word) => expand(word, (name) => values.get(name)))
  const stopSignal = 'lifecycle' in container ? container.lifecycle?.stopSignal : undefined
  return {
    ok: true,
    config: {
      metadata: { name: container.name, attempt: inputs.restartCount },
      image: { reference: inputs.imageRef, userSpecifiedImage: container.image ?? '' },
      command: expanded(container.command),
      args: expanded(container.args),
      workingDir: container.workingDir ?? '',
      env: inputs.env,
      mounts: inputs.mounts,
      devices: inputs.devices,
      labels: containerLabels(pod, container),
      annotations: { ...inputs.annotations, ...containerAnnotations(pod, container, inputs.restartCount) },
      ...(inputs.cdiDevices === undefined || inputs.cdiDevices.length === 0 ? {} : { cdiDevices: inputs.cdiDevices }),
      logPath: containerLogPath(container.name, inputs.restartCount),
      stdin: container.stdin === true,
      stdinOnce: container.stdinOnce === true,
      tty: container.tty === true,
      ...(stopSignal === undefined ? {} : { stopSignal }),
      linux: { resources: inputs.resources, security: security.security },
    },
  }
}
