// A pod that runs here and that nobody knows any more: put together from what the runtime remembers of it, so that it can
// be ended the way every pod is.
import { containerNameOf, graceOf, podNameLabel, podNamespaceLabel } from './labels.ts'
import type { PodRuntime } from './plan-pod.ts'
import type { Pod } from './types.ts'

const defaultGraceSeconds = 30

export function ghostPod(uid: string, runtime: PodRuntime): Pod {
  const labels = runtime.sandboxes[0]?.labels ?? runtime.containers[0]?.labels ?? {}
  const names = [...new Set(runtime.containers.map(containerNameOf))]
  const grace = runtime.containers.map(graceOf).find((seconds) => seconds !== undefined)
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: labels[podNameLabel] ?? '',
      namespace: labels[podNamespaceLabel] ?? '',
      uid,
      resourceVersion: '0',
      creationTimestamp: '',
    },
    spec: {
      restartPolicy: 'Never',
      dnsPolicy: 'ClusterFirst',
      schedulerName: '',
      terminationGracePeriodSeconds: grace ?? defaultGraceSeconds,
      containers: names.map((name) => ({
        name,
        resources: {},
        terminationMessagePath: '',
        terminationMessagePolicy: 'File',
      })),
    },
    status: {},
  } as unknown as Pod
}
