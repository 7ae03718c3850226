// Which ConfigMaps and Secrets a pod names anywhere in its spec: what the kubelet may ask the API for, and follows.
import { everyContainer, type Pod } from './types.ts'

export interface References {
  readonly configMaps: ReadonlySet<string>
  readonly secrets: ReadonlySet<string>
}
export function referencesOf(pod: Pod): References {
  const configMaps = new Set<string>()
  const secrets = new Set<string>()
  const add = (set: Set<string>, name: string | undefined) => {
    if (name) set.add(name)
  }
  for (const { name } of pod.spec.imagePullSecrets ?? []) add(secrets, name)
  for (const container of everyContainer(pod.spec)) {
    for (const { configMapRef, secretRef } of container.envFrom ?? []) {
      add(configMaps, configMapRef?.name)
      add(secrets, secretRef?.name)
    }
    for (const { valueFrom } of container.env ?? []) {
      add(configMaps, valueFrom?.configMapKeyRef?.name)
      add(secrets, valueFrom?.secretKeyRef?.name)
    }
  }
  for (const volume of pod.spec.volumes ?? []) {
    add(configMaps, volume.configMap?.name)
    add(secrets, volume.secret?.secretName)
    for (const source of volume.projected?.sources ?? []) {
      add(configMaps, source.configMap?.name)
      add(secrets, source.secret?.name)
    }
  }
  return { configMaps, secrets }
}
