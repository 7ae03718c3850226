// POST deployments/NAME/rollback, which extensions/v1beta1 and apps/v1beta1 had: writes the wish down as an annotation, and the
// Deployment controller goes back. apps/v1 has no such subresource.
import type { Deployment } from '../../api/apps/deployment.ts'
import { badRequest, conflict, invalid, notFound, requiredField } from '../../api/machinery/errors.ts'
import { kindSchema } from '../../api/machinery/meta.ts'
import { int64, map, object, optional, required, string, struct } from '../../api/machinery/schema.ts'
import type { ResourceRequest } from '../context.ts'
import { mostRecent } from '../handlers/freshness.ts'
import { conflictRetries } from '../handlers/update.ts'
import type { Outcome } from '../responders/outcome.ts'
import { replaceObject } from '../storage/write.ts'
import { type BodyKind, readBodyOf } from './body.ts'

const V1BETA1 = 'io.k8s.api.apps.v1beta1.'
const expected: BodyKind = {
  kind: 'DeploymentRollback',
  apiVersions: ['extensions/v1beta1', 'apps/v1beta1'],
  schema: kindSchema(`${V1BETA1}DeploymentRollback`, {
    name: required(1, string()),
    updatedAnnotations: optional(2, map(string())),
    rollbackTo: struct(3, object(`${V1BETA1}RollbackConfig`, { revision: optional(1, int64()) })),
  }),
}
interface Rollback {
  readonly name: string
  readonly updatedAnnotations?: Readonly<Record<string, string>>
  readonly rollbackTo: { readonly revision?: number }
}
const annotation = 'deprecated.deployment.rollback.to'
const resource = { group: 'apps', resource: 'deployments' }

export async function rollBackDeployment(call: ResourceRequest): Promise<Outcome> {
  const { server, info } = call
  const wish = await readBodyOf<Rollback>(call, expected)
  if (wish.name === '') throw invalid('apps', expected.kind, '', [requiredField('name')])
  if (wish.name !== info.name)
    throw badRequest(`name in URL does not match name in DeploymentRollback object: ${info.name} != ${wish.name}`)
  const { collection } = server.resources.required('apps', 'deployments')
  await mostRecent(server, collection)
  let entry = collection.find(info.namespace, info.name)
  for (let attempt = 0; entry !== undefined; attempt++) {
    const deployment = collection.object(entry) as unknown as Deployment
    const annotations = {
      ...deployment.metadata.annotations,
      ...wish.updatedAnnotations,
      [annotation]: String(wish.rollbackTo.revision ?? 0),
    }
    const asked = { ...deployment, metadata: { ...deployment.metadata, annotations } }
    if (call.dryRun) return succeeded(info.name)
    const result = await replaceObject(server, collection, entry, asked)
    if (result.ok) return succeeded(info.name)
    if (attempt >= conflictRetries) throw conflict(resource, info.name, 'the deployment has been modified too often')
    entry = result.taken ? entry : result.current
  }
  throw notFound(resource, info.name)
}

const succeeded = (name: string): Outcome => ({
  kind: 'object',
  status: 200,
  object: {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    message: `rollback request for deployment ${JSON.stringify(name)} succeeded`,
    code: 200,
  },
})
