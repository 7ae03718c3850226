// Every subresource that has handlers, by resource; status and scale are there for every kind that declares them.
import type { ResourceRequest } from '../context.ts'
import { get } from '../handlers/get.ts'
import { patchUnder } from '../handlers/patch.ts'
import { statusRule, updateStatus } from '../handlers/update.ts'
import type { Outcome } from '../responders/outcome.ts'
import { proxyNode, proxyPod, proxyService } from '../proxy/proxy-verb.ts'
import type { ServedResource } from '../resources.ts'
import { certificateApprovals, certificateStatus } from './certificate-approval.ts'
import { rollBackDeployment } from './deployment-rollback.ts'
import { finalizeNamespace } from './namespace-finalize.ts'
import { bindPod } from './pod-binding.ts'
import { evictPod } from './pod-eviction.ts'
import { podLog } from './pod-log.ts'
import { ephemeralContainers, resize } from './pod-parts.ts'
import { podAttach, podExec, podPortForward } from './pod-streams.ts'
import { scale } from './scale.ts'
import { requestToken } from './service-account-token.ts'

/** Handlers by verb. */
export type SubresourceHandlers = Readonly<Record<string, (call: ResourceRequest) => Promise<Outcome>>>

const status: SubresourceHandlers = {
  get,
  update: updateStatus,
  patch: (call) => patchUnder(call, statusRule(call)),
}

const connect = (handler: (call: ResourceRequest) => Promise<Outcome>): SubresourceHandlers => ({
  get: handler,
  create: handler,
})

/** Every method goes through; a HEAD or OPTIONS is the target's to answer. */
const proxied = (handler: (call: ResourceRequest) => Promise<Outcome>): SubresourceHandlers =>
  Object.fromEntries(['get', 'create', 'update', 'patch', 'delete', 'options'].map((verb) => [verb, handler]))

const custom: Readonly<Record<string, SubresourceHandlers>> = {
  '/pods/attach': connect(podAttach),
  '/pods/binding': { create: bindPod },
  '/pods/ephemeralcontainers': ephemeralContainers,
  '/pods/eviction': { create: evictPod },
  '/pods/exec': connect(podExec),
  '/pods/log': { get: podLog },
  '/pods/portforward': connect(podPortForward),
  '/pods/proxy': proxied(proxyPod),
  '/pods/resize': resize,
  '/nodes/proxy': proxied(proxyNode),
  '/services/proxy': proxied(proxyService),
  '/namespaces/finalize': { update: finalizeNamespace },
  '/serviceaccounts/token': { create: requestToken },
  'certificates.k8s.io/certificatesigningrequests/approval': certificateApprovals,
  'certificates.k8s.io/certificatesigningrequests/status': certificateStatus,
}

/** What only an old version of a kind has, by its own group and version; discovery of the present one does not show it. */
const old: Readonly<Record<string, SubresourceHandlers>> = {
  'extensions/v1beta1/deployments/rollback': { create: rollBackDeployment },
  'apps/v1beta1/deployments/rollback': { create: rollBackDeployment },
}

export function subresourceOf(resource: ServedResource, name: string): SubresourceHandlers | undefined {
  const { kind } = resource
  const id = `${kind.group}/${kind.plural}/${name}`
  if (Object.hasOwn(custom, id)) return custom[id]
  const oldId = `${resource.apiVersion}/${kind.plural}/${name}`
  if (Object.hasOwn(old, oldId)) return old[oldId]
  if (name === 'status') return kind.subresources?.status === true ? status : undefined
  return name === 'scale' && kind.subresources?.scale !== undefined ? scale : undefined
}
