// projected: several sources in one directory of memory. A token file belongs to the one user that all containers run as,
// so that it can stay closed to others; with different users it is readable by all in the pod.
import { lastingContainers, type Pod, type Volume } from '../types.ts'
import { fsGroupOf } from './ownership.ts'
import { type PayloadFile, writePayload } from './payload.ts'
import { configMapFiles, downwardFiles, secretFiles, textBytes } from './sources.ts'
import { MountError, type VolumeContext, type VolumePlugin } from './volume.ts'

type Source = NonNullable<NonNullable<Volume['projected']>['sources']>[number]
const name = 'kubernetes.io/projected'

/** The user that every container of the pod runs as by its spec, if it is one. */
function commonUser(pod: Pod): number | undefined {
  const users = new Set(
    lastingContainers(pod.spec).map((c) => c.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser),
  )
  return users.size === 1 ? [...users][0] : undefined
}

async function tokenFile(
  context: VolumeContext,
  source: NonNullable<Source['serviceAccountToken']>,
  mode: number,
): Promise<PayloadFile> {
  const { pod, tokens } = context
  const token = await tokens.token(pod, source.audience || undefined, source.expirationSeconds)
  const content = textBytes(token)
  if (fsGroupOf(pod) !== undefined) return { content, mode: 0o600 }
  const uid = commonUser(pod)
  return uid === undefined ? { content, mode } : { content, mode: 0o600, uid }
}

async function sourceFiles(
  context: VolumeContext,
  source: Source,
  mode: number,
): Promise<Iterable<[string, PayloadFile]>> {
  const { configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle } = source
  if (configMap !== undefined) return configMapFiles(context, configMap.name ?? '', configMap, mode)
  if (secret !== undefined) return secretFiles(context, secret.name ?? '', secret, mode)
  if (downwardAPI !== undefined) return downwardFiles(context, downwardAPI.items, mode)
  if (serviceAccountToken !== undefined)
    return [[serviceAccountToken.path, await tokenFile(context, serviceAccountToken, mode)]]
  if (clusterTrustBundle !== undefined) {
    const { name: bundle, signerName, labelSelector, optional, path } = clusterTrustBundle
    const pem = await context.objects.trustBundle({ name: bundle, signerName, labelSelector })
    if (pem === undefined && optional) return []
    if (pem === undefined)
      throw new MountError(
        bundle === undefined
          ? `no trust bundles found for signer ${signerName ?? ''}`
          : `clustertrustbundle "${bundle}" not found`,
      )
    return [[path, { content: textBytes(pem), mode }]]
  }
  throw new MountError('this projection is not supported on this node')
}

export const projectedVolume: VolumePlugin = {
  name,
  supports: (volume) => volume.projected !== undefined,
  updates: true,
  async prepare(context) {
    const { disk, clock, pod, volume, paths } = context
    const mode = volume.projected?.defaultMode ?? 0o644
    const parts = await Promise.all((volume.projected?.sources ?? []).map((s) => sourceFiles(context, s, mode)))
    const files = new Map<string, PayloadFile>()
    for (const part of parts) for (const [path, file] of part) files.set(path, file)
    const hostPath = paths.memoryVolume(name, volume.name)
    return async () => {
      await writePayload(disk, clock, hostPath, files, { fsGroup: fsGroupOf(pod) })
      return { hostPath }
    }
  },
}
