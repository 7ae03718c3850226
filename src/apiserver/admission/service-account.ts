// ServiceAccount: every pod runs as some account of its namespace, gets the account's pull secrets and, unless it or the
// account says no, a volume with a token of its own, the cluster's CA and its namespace.
import type { Pod } from '../../api/core/pod.ts'
import type { ServiceAccount } from '../../api/core/service-account.ts'
import { forbidden } from '../../api/machinery/errors.ts'
import { draftOf } from '../../api/machinery/freeze.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import { nameSuffix } from '../../ports/random.ts'
import type { ServerContext } from '../context.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'
import { awaitObject, collectionOf } from './lookup.ts'

const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount'
const volumePrefix = 'kube-api-access-'
const mirrorAnnotation = 'kubernetes.io/config.mirror'
const tokenSeconds = 3607
/** A new namespace's default account is made by a controller; a pod that comes first waits for it. */
const accountWaitMs = 1000

export const serviceAccountAdmission: AdmissionPlugin = {
  name: 'ServiceAccount',
  handles: ({ operation, resource, subresource }) =>
    operation === 'CREATE' && subresource === '' && resource.kind.plural === 'pods' && resource.group === '',
  mutate(request, server) {
    const pod = request.object as unknown as Draft<Pod>
    if (pod.metadata.annotations?.[mirrorAnnotation] !== undefined) return refuseMirror(request, pod)
    if ((pod.spec.serviceAccountName ?? '') === '') pod.spec.serviceAccountName = 'default'
    const name = pod.spec.serviceAccountName ?? 'default'
    pod.spec.serviceAccount = name
    const { collection } = server.resources.required('', 'serviceaccounts')
    const entry = collection.loaded ? collection.find(request.namespace, name) : undefined
    if (entry === undefined) return slowly(request, server, pod, name)
    apply(pod, collection.object(entry) as unknown as ServiceAccount, server)
  },
}

async function slowly(request: AdmissionRequest, server: ServerContext, pod: Draft<Pod>, name: string): Promise<void> {
  const collection = await collectionOf(server, '', 'serviceaccounts')
  const account =
    collection === undefined ? undefined : await awaitObject(server, collection, request.namespace, name, accountWaitMs)
  if (account === undefined) {
    throw forbidden(
      { group: '', resource: 'pods' },
      request.name,
      `error looking up service account ${request.namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`,
    )
  }
  apply(pod, account as unknown as ServiceAccount, server)
}

/** A mirror pod stands for a static one: it may not use what only the API gives. */
function refuseMirror(request: AdmissionRequest, { spec }: Draft<Pod>): void {
  const refuse = (why: string) => forbidden({ group: '', resource: 'pods' }, request.name, why)
  if ((spec.serviceAccountName ?? '') !== '') throw refuse('a mirror pod may not reference service accounts')
  for (const volume of spec.volumes ?? []) {
    if (volume.secret !== undefined) throw refuse('a mirror pod may not reference secrets')
    if (volume.configMap !== undefined) throw refuse('a mirror pod may not reference configmaps')
    if (volume.persistentVolumeClaim !== undefined)
      throw refuse('a mirror pod may not reference persistentvolumeclaims')
    if (volume.projected?.sources?.some((source) => source.serviceAccountToken !== undefined)) {
      throw refuse('a mirror pod may not use ServiceAccountToken volume projections')
    }
  }
}

function apply(pod: Draft<Pod>, account: ServiceAccount, server: ServerContext): void {
  const { spec } = pod
  const automount = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true
  if (automount) mountToken(spec, server)
  if ((spec.imagePullSecrets ?? []).length === 0 && (account.imagePullSecrets ?? []).length > 0) {
    spec.imagePullSecrets = draftOf(account.imagePullSecrets ?? [])
  }
}

function mountToken(spec: Draft<Pod>['spec'], server: ServerContext): void {
  const known = spec.volumes?.find((volume) => volume.name.startsWith(volumePrefix) && volume.projected !== undefined)
  const name = known?.name ?? freshName(spec, server)
  let mounted = false
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    if (container.volumeMounts?.some((mount) => mount.mountPath === mountPath)) continue
    const mounts = (container.volumeMounts ??= [])
    mounts.push({ name, readOnly: true, mountPath })
    mounted = true
  }
  if (!mounted || known !== undefined) return
  const volumes = (spec.volumes ??= [])
  volumes.push({
    name,
    projected: {
      defaultMode: 420,
      sources: [
        { serviceAccountToken: { path: 'token', expirationSeconds: tokenSeconds } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  })
}

function freshName(spec: Draft<Pod>['spec'], server: ServerContext): string {
  for (;;) {
    const name = `${volumePrefix}${nameSuffix(server.random)}`
    if (!spec.volumes?.some((volume) => volume.name === name)) return name
  }
}
