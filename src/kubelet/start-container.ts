// From a container of the spec to a running one: image, environment, mounts, creation, start, postStart. Every way it can
// fail has the waiting reason and the event that users know.
import type { ContainerConfig, LinuxResources, Mount, RuntimeImage, SandboxConfig } from '../ports/container-runtime.ts'
import { unlessAborted } from './abortable.ts'
import { containerConfig } from './container-config.ts'
import type { KubeletContext } from './context.ts'
import { credentialsFor } from './credentials.ts'
import { type EnvEntry, makeEnvironment } from './env.ts'
import { fieldValue, resourceFieldValue, type RuntimeFacts } from './field-ref.ts'
import { hostNetworkHostsFile, podHostname, podHostsFile } from './hosts-file.ts'
import { killContainer } from './kill-container.ts'
import { runHook } from './lifecycle.ts'
import { containerDevices, containerMounts, volumeGroups } from './mounts.ts'
import type { PodPaths } from './paths.ts'
import { newestRun } from './plan-pod.ts'
import type { PullCredential } from './pulled-images.ts'
import type { PodVolumes } from './pod-volumes.ts'
import { containerResources, nodeLimits } from './resources.ts'
import type { Waiting } from './status.ts'
import { type AnyContainer, type Container, isHostNetwork, namespaceOf, type Pod } from './types.ts'
import { userNamespaceOf } from './user-namespaces.ts'
import { base64Bytes } from './volumes/sources.ts'
import type { ConfigMapData, SecretData } from './volumes/volume.ts'

export interface StartRequest {
  readonly pod: Pod
  readonly container: AnyContainer
  readonly sandboxId: string
  readonly sandboxConfig: SandboxConfig
  readonly restartCount: number
  readonly facts: RuntimeFacts
  readonly volumes: PodVolumes
  readonly paths: PodPaths
  /** Aborted when the pod is to end: a pull or a hook is not waited for any longer. */
  readonly ending: AbortSignal
}
export type StartResult =
  | { readonly ok: true; readonly containerId: string }
  | { readonly ok: false; readonly waiting: Waiting; readonly retryAfterMs: number | undefined }

/** How long a refused container waits when nothing else will wake the pod. */
const retryMs = 10_000
const failed = (reason: string, message: string, retryAfterMs: number | undefined = retryMs): StartResult => ({
  ok: false,
  waiting: { reason, message },
  retryAfterMs,
})
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

export async function startContainer(context: KubeletContext, request: StartRequest): Promise<StartResult> {
  const { pod, container } = request
  const ensured = context.images.ensure({
    pod,
    container: container.name,
    image: container.image ?? '',
    pullPolicy: container.imagePullPolicy,
    sandbox: request.sandboxConfig,
    credentials: () => pullCredentials(context, pod, container.image ?? ''),
  })
  const image = await unlessAborted(ensured, request.ending)
  if (image === undefined) return failed('ContainerCreating', '', undefined)
  if (!image.ok) return image
  const volumes = await ensureImageVolumes(context, request)
  if (volumes !== undefined) return volumes
  const config = await makeConfig(context, request, image.image, image.reference)
  if (!config.ok) {
    context.record(pod, container.name, 'Warning', 'Failed', `Error: ${config.message}`)
    return failed('CreateContainerConfigError', config.message)
  }
  return run(context, request, config.config)
}

/** Images that the container mounts as volumes are there before it is made; answers why one is not. */
async function ensureImageVolumes(context: KubeletContext, request: StartRequest): Promise<StartResult | undefined> {
  const { pod, container, volumes } = request
  for (const { name } of container.volumeMounts ?? []) {
    const image = volumes.mounted.get(name)?.image
    if (image === undefined) continue
    const ensured = context.images.ensure({
      pod,
      container: container.name,
      image: image.reference,
      pullPolicy: image.pullPolicy,
      sandbox: request.sandboxConfig,
      credentials: () => pullCredentials(context, pod, image.reference),
    })
    const result = await unlessAborted(ensured, request.ending)
    if (result === undefined) return failed('ContainerCreating', '', undefined)
    if (!result.ok) return result
  }
  return undefined
}

/** Credentials of the pod's imagePullSecrets that fit the image, then the node's own. */
export async function pullCredentials(
  context: KubeletContext,
  pod: Pod,
  image: string,
): Promise<readonly PullCredential[]> {
  const names = (pod.spec.imagePullSecrets ?? []).map((s) => s.name).filter((name) => name !== undefined && name !== '')
  const found = await Promise.all(names.map((name) => context.objects.secret(namespaceOf(pod), name ?? '')))
  const missing = names.filter((_, i) => found[i] === undefined)
  if (missing.length > 0)
    context.record(
      pod,
      undefined,
      'Warning',
      'FailedToRetrieveImagePullSecret',
      `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`,
    )
  const secrets = found.filter((secret) => secret !== undefined)
  const own = credentialsFor(image, secrets).map(({ auth, secret: { metadata } }) => {
    return { auth, secret: { uid: metadata.uid, namespace: namespaceOf(pod), name: metadata.name } }
  })
  const ofNode = await context.credentialProviders.for(image)
  return [...own, ...ofNode.map((auth) => ({ auth, secret: undefined }))]
}

/** Creates, starts and runs the hook. Boundary: the runtime's refusals become waiting reasons. */
async function run(context: KubeletContext, request: StartRequest, config: ContainerConfig): Promise<StartResult> {
  const { pod, container, sandboxId, sandboxConfig } = request
  const { runtime, view, record } = context
  let id: string
  try {
    await context.disk.mkdir(`${sandboxConfig.logDirectory}/${container.name}`)
    id = await runtime.createContainer(sandboxId, config, sandboxConfig)
  } catch (error) {
    view.doubt(pod.metadata.uid)
    record(pod, container.name, 'Warning', 'Failed', `Error: ${messageOf(error)}`)
    return failed('CreateContainerError', messageOf(error))
  }
  record(pod, container.name, 'Normal', 'Created', 'Container created')
  try {
    await context.devices.preStart(pod.metadata.uid, container.name)
    await runtime.startContainer(id)
  } catch (error) {
    await view.lookAtContainer(id)
    record(pod, container.name, 'Warning', 'Failed', `Error: ${messageOf(error)}`)
    return failed('RunContainerError', messageOf(error))
  }
  record(pod, container.name, 'Normal', 'Started', 'Container started')
  await view.lookAtContainer(id)
  return postStart(context, request, id)
}

async function postStart(context: KubeletContext, request: StartRequest, id: string): Promise<StartResult> {
  const { pod, container } = request
  const hook = container.lifecycle?.postStart
  if (hook === undefined) return { ok: true, containerId: id }
  const target = { container, containerId: id, podIP: request.facts.podIPs[0] ?? '' }
  const options = { timeoutMs: 0, userAgent: context.userAgent, signal: request.ending }
  const result = await unlessAborted(runHook(context, pod, target, hook, options), request.ending)
  if (result === undefined || result.ok) return { ok: true, containerId: id }
  context.record(pod, container.name, 'Warning', 'FailedPostStartHook', 'PostStartHook failed')
  context.log.warn('postStart hook failed', {
    pod: pod.metadata.name,
    container: container.name,
    message: result.message,
  })
  const status = newestRun(context.view.pod(pod.metadata.uid), container.name)
  if (status !== undefined && status.state === 'running')
    await killContainer(context, pod, status, {
      message: 'FailedPostStartHook',
      graceSeconds: pod.spec.terminationGracePeriodSeconds ?? 30,
    })
  return failed('PostStartHookError', result.message, 0)
}

type ConfigResult =
  | { readonly ok: true; readonly config: ContainerConfig }
  | { readonly ok: false; readonly message: string }

async function makeConfig(
  context: KubeletContext,
  request: StartRequest,
  image: RuntimeImage,
  imageRef: string,
): Promise<ConfigResult> {
  const { pod, container, restartCount } = request
  const env = await environment(context, request)
  if (!env.ok) return env
  const [etcHosts, messageFile] = await Promise.all([hostsFile(context, request), newMessageFile(context, request)])
  const mounts = await containerMounts(container, {
    disk: context.disk,
    log: context.log,
    paths: request.paths,
    volumes: request.volumes.mounted,
    env: new Map(env.entries.map(({ key, value }) => [key, value])),
    etcHosts,
    messageFile,
    recursiveReadOnly: await recursiveReadOnly(context, pod),
  })
  if (!mounts.ok) return mounts
  const devices = containerDevices(container, request.volumes.mounted)
  if (!devices.ok) return devices
  const given = context.devices.of(pod.metadata.uid, container.name)
  const target = 'targetContainerName' in container ? container.targetContainerName : undefined
  const targetId = target ? newestRun(context.view.pod(pod.metadata.uid), target)?.id : undefined
  return containerConfig(pod, container, {
    restartCount,
    image,
    imageRef,
    // What the user says goes before what a plugin says.
    env: [...given.flatMap((g) => Object.entries(g.env).map(([key, value]) => ({ key, value }))), ...env.entries],
    mounts: [...mounts.mounts, ...given.flatMap((g) => g.mounts.map(deviceMount))],
    devices: [...devices.devices, ...given.flatMap((g) => g.devices)],
    annotations: Object.assign({}, ...given.map((g) => g.annotations)) as Record<string, string>,
    cdiDevices: [...given.flatMap((g) => g.cdiDevices), ...context.deviceClaims.cdiDevicesOf(pod, container)],
    resources: {
      ...containerResources(pod, container as Container, nodeLimits(context)),
      ...cpusOf(context, pod, container.name),
      ...memsOf(context, pod, container.name),
    },
    seccompDirectory: `${context.config.rootDirectory}/seccomp`,
    seccompDefault: context.config.seccompDefault,
    userns: userNamespaceOf(pod),
    targetId,
    volumeGroups: volumeGroups(container, request.volumes.mounted),
  })
}

async function recursiveReadOnly({ runtimeFeatures, runtimeHandler }: KubeletContext, pod: Pod): Promise<boolean> {
  const handler = pod.spec.runtimeClassName ? await runtimeHandler(pod.spec.runtimeClassName) : ''
  return runtimeFeatures.handlers.find(({ name }) => name === handler)?.recursiveReadOnlyMounts === true
}
const deviceMount = (mount: Pick<Mount, 'containerPath' | 'hostPath' | 'readonly'>): Mount => ({
  ...mount,
  propagation: 'private',
  selinuxRelabel: false,
})
/** CPUs of one's own are not rationed: a quota of 0 is none said, and a new group has none (crun 1.8 fails to write -1). */
function cpusOf({ cpus }: KubeletContext, { metadata: { uid } }: Pod, container: string): LinuxResources {
  const cpuset = cpus.cpusetOf(uid, container)
  if (cpuset === undefined) return {}
  return { cpusetCpus: cpuset, ...(cpus.hasOwn(uid, container) ? { cpuQuota: 0 } : {}) }
}
const memsOf = ({ memory }: KubeletContext, { metadata: { uid } }: Pod, container: string): LinuxResources => {
  const cpusetMems = memory.memsOf(uid, container)
  return cpusetMems === undefined ? {} : { cpusetMems }
}

type EnvResult =
  | { readonly ok: true; readonly entries: readonly EnvEntry[] }
  | { readonly ok: false; readonly message: string }

/** Objects that the environment names, fetched together; what the API refuses reads as an error. */
async function environment(context: KubeletContext, request: StartRequest): Promise<EnvResult> {
  const { pod, container, facts, volumes } = request
  const configMaps = new Map<string, ConfigMapData | undefined>()
  const secrets = new Map<string, SecretData | undefined>()
  const files = new Map<string, string | undefined>()
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    if (configMapRef !== undefined) configMaps.set(configMapRef.name ?? '', undefined)
    if (secretRef !== undefined) secrets.set(secretRef.name ?? '', undefined)
  }
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.configMapKeyRef !== undefined) configMaps.set(valueFrom.configMapKeyRef.name ?? '', undefined)
    if (valueFrom?.secretKeyRef !== undefined) secrets.set(valueFrom.secretKeyRef.name ?? '', undefined)
    if (valueFrom?.fileKeyRef !== undefined)
      files.set(`${valueFrom.fileKeyRef.volumeName}\n${valueFrom.fileKeyRef.path}`, undefined)
  }
  const namespace = namespaceOf(pod)
  const decoder = new TextDecoder()
  const [services] = await Promise.all([
    context.services(),
    ...[...configMaps.keys()].map(async (name) =>
      configMaps.set(name, await context.objects.configMap(namespace, name)),
    ),
    ...[...secrets.keys()].map(async (name) => secrets.set(name, await context.objects.secret(namespace, name))),
    ...[...files.keys()].map(async (key) => {
      const [volume = '', path = ''] = key.split('\n')
      const root = volumes.mounted.get(volume)?.hostPath
      const bytes = root === undefined ? undefined : await context.disk.readFile(`${root}/${path}`)
      files.set(key, bytes === undefined ? undefined : decoder.decode(bytes))
    }),
  ])
  const made = makeEnvironment(pod, container, {
    configMap: (name) => configMaps.get(name),
    secret: (name) => {
      const found = secrets.get(name)
      if (found === undefined) return undefined
      const decoded = Object.entries(found.data ?? {}).map(([key, text]) => [key, decoder.decode(base64Bytes(text))])
      return { data: Object.fromEntries(decoded) as Record<string, string> }
    },
    services: [...services],
    field: (path) => fieldValue(pod, path, facts),
    resourceField: (ref) => resourceFieldValue(pod, container, ref, context.allocatable()),
    file: (volume, path) => files.get(`${volume}\n${path}`),
  })
  if (!made.ok) return made
  for (const { source, keys } of made.skipped)
    context.record(
      pod,
      undefined,
      'Warning',
      'InvalidEnvironmentVariableNames',
      `Keys [${keys.join(', ')}] from the EnvFrom ${source} were skipped since they are considered invalid environment variable names.`,
    )
  return made
}

/** Writes the pod's hosts file; undefined when no container of it should see one. */
async function hostsFile(context: KubeletContext, request: StartRequest): Promise<string | undefined> {
  const { pod, facts, paths } = request
  const { hostname, domain } = podHostname(pod, context.config.clusterDomain)
  const aliases = pod.spec.hostAliases
  const text = isHostNetwork(pod)
    ? hostNetworkHostsFile(context.nodeHostsFile, aliases)
    : podHostsFile(facts.podIPs, hostname, domain, aliases)
  const content = new TextEncoder().encode(text)
  const existing = await context.disk.readFile(paths.etcHosts)
  if (existing !== undefined && new TextDecoder().decode(existing) === text) return paths.etcHosts
  await context.disk.mkdir(paths.directory, { mode: 0o750 })
  // In place: containers that run have this very file mounted.
  await context.disk.writeFile(paths.etcHosts, content, { mode: 0o644 })
  return paths.etcHosts
}

/** A fresh file per run, so that a run never shows the message of the one before. */
async function newMessageFile(context: KubeletContext, request: StartRequest): Promise<string | undefined> {
  const { container, paths } = request
  if (!container.terminationMessagePath) return undefined
  const directory = paths.container(container.name)
  const name = [...context.random.bytes(4)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  await context.disk.mkdir(directory, { mode: 0o750 })
  await context.disk.writeFile(`${directory}/${name}`, new Uint8Array(), { mode: 0o666 })
  return `${directory}/${name}`
}
