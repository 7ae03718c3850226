// core/v1 Pod: the unit that is scheduled, run and removed as one.
import { defineKind } from '../machinery/kind.ts'
import { kindSchema, type ObjectOf } from '../machinery/meta.ts'
import { struct } from '../machinery/schema.ts'
import { setPodDefaults } from './pod-defaults.ts'
import { podSpec } from './pod-spec.ts'
import { podStatus } from './pod-status.ts'
import { preparePod, preparePodStatusUpdate } from './pod-strategy.ts'
import { podTable } from './pod-table.ts'
import { podWarnings, validatePod } from './pod-validation.ts'
import { validatePodStatusUpdate, validatePodUpdate } from './pod-update-validation.ts'
import { CORE } from './references.ts'

const schema = kindSchema(`${CORE}Pod`, { spec: struct(2, podSpec), status: struct(3, podStatus) })
export interface Pod extends ObjectOf<typeof schema> {}

/** Succeeded or Failed: nothing will run in it any more. */
export const isPodTerminal = (pod: { readonly status: { readonly phase?: string | undefined } }): boolean =>
  pod.status.phase === 'Succeeded' || pod.status.phase === 'Failed'

const unspecifiedGraceSeconds = 30

export const pods = defineKind<Pod>({
  group: '',
  version: 'v1',
  kind: 'Pod',
  plural: 'pods',
  singular: 'pod',
  shortNames: ['po'],
  categories: ['all'],
  namespaced: true,
  schema,
  storagePrefix: '/registry/pods',
  unconditionalUpdate: true,
  generation: true,
  subresources: {
    status: true,
    custom: ['attach', 'binding', 'ephemeralcontainers', 'eviction', 'exec', 'log', 'portforward', 'proxy', 'resize'],
  },
  selectableFields: {
    'spec.nodeName': (pod) => pod.spec.nodeName ?? '',
    'spec.restartPolicy': (pod) => pod.spec.restartPolicy,
    'spec.schedulerName': (pod) => pod.spec.schedulerName,
    'spec.serviceAccountName': (pod) => pod.spec.serviceAccountName ?? '',
    'spec.hostNetwork': (pod) => String(pod.spec.hostNetwork ?? false),
    'status.phase': (pod) => pod.status.phase ?? '',
    'status.podIP': (pod) => pod.status.podIPs?.[0]?.ip ?? pod.status.podIP ?? '',
    'status.nominatedNodeName': (pod) => pod.status.nominatedNodeName ?? '',
  },
  table: podTable,
  setDefaults: setPodDefaults,
  prepareForCreate: preparePod,
  prepareForStatusUpdate: preparePodStatusUpdate,
  validate: validatePod,
  validateUpdate: validatePodUpdate,
  validateStatusUpdate: validatePodStatusUpdate,
  warnings: podWarnings,
  // a pod that is on no node, or done, has nobody to stop it gracefully
  gracePeriodSeconds: (pod, requested) => {
    if (!pod.spec.nodeName || isPodTerminal(pod)) return 0
    const seconds = requested ?? pod.spec.terminationGracePeriodSeconds ?? unspecifiedGraceSeconds
    return seconds < 0 ? 1 : seconds
  },
})
