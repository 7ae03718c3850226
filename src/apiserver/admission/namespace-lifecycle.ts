// NamespaceLifecycle: nothing is created in a namespace that is not there or is going, and the system's namespaces stay.
import type { Namespace } from '../../api/core/namespace.ts'
import { ApiError, forbidden, notFound } from '../../api/machinery/errors.ts'
import type { ServerContext } from '../context.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'
import { collectionOf } from './lookup.ts'

const immortal = new Set(['default', 'kube-system', 'kube-public'])
/** Reviews are told, not stored: they may ask about namespaces that are not there. */
const exempt = new Set(['localsubjectaccessreviews'])

export const namespaceLifecycle: AdmissionPlugin = {
  name: 'NamespaceLifecycle',
  handles: ({ operation, resource }) =>
    operation === 'DELETE'
      ? resource.kind.plural === 'namespaces' && resource.group === ''
      : operation !== 'CONNECT' && resource.kind.namespaced && !exempt.has(resource.kind.plural),
  mutate(request, server) {
    if (request.operation === 'DELETE') return refuseImmortal(request)
    const collection = server.resources.required('', 'namespaces').collection
    const entry = collection.loaded ? collection.find('', request.namespace) : undefined
    if (entry === undefined) return slowCheck(request, server)
    if (request.operation === 'CREATE') checkActive(request, collection.object(entry) as unknown as Namespace)
  },
}

async function slowCheck(request: AdmissionRequest, server: ServerContext): Promise<void> {
  const collection = await collectionOf(server, '', 'namespaces')
  const entry = collection?.find('', request.namespace)
  const found = entry === undefined ? undefined : collection?.object(entry)
  if (found === undefined) throw notFound({ group: '', resource: 'namespaces' }, request.namespace)
  if (request.operation === 'CREATE') checkActive(request, found as unknown as Namespace)
}

function refuseImmortal({ name }: AdmissionRequest): void {
  if (immortal.has(name)) {
    throw forbidden({ group: '', resource: 'namespaces' }, name, 'this namespace may not be deleted')
  }
}

function checkActive(request: AdmissionRequest, { metadata, status }: Namespace): void {
  if (metadata.deletionTimestamp === undefined && status.phase !== 'Terminating') return
  const { group, kind } = request.resource
  const error = forbidden(
    { group, resource: kind.plural },
    request.name,
    `unable to create new content in namespace ${request.namespace} because it is being terminated`,
  )
  throw new ApiError('Forbidden', error.message, {
    ...error.details,
    causes: [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${request.namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ],
  })
}
