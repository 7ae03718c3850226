// Whether an aggregated server can be asked: its Service is there, has the port and an endpoint for it, and answers.
import type { Service } from '../../api/core/service.ts'
import { ApiError } from '../../api/machinery/errors.ts'
import { OutgoingError } from '../../ports/outgoing.ts'
import { lookUp } from '../admission/lookup.ts'
import type { ServerContext } from '../context.ts'
import type { Backend } from './backends.ts'
import { fetchDocument, targetOf } from './reach.ts'

export interface Availability {
  readonly status: 'True' | 'False'
  readonly reason: string
  readonly message: string
}
const no = (reason: string, message: string): Availability => ({ status: 'False', reason, message })

export async function checkBackend(server: ServerContext, backend: Backend): Promise<Availability> {
  const { namespace, name, port } = backend.service
  const where = `service/${name} in ${JSON.stringify(namespace)}`
  const service = await lookUp<Service>(server, '', 'services', namespace, name)
  if (service === undefined) return no('ServiceNotFound', `${where} is not present`)
  const found = service.spec.ports?.find((p) => p.port === port)
  if (found === undefined && service.spec.type !== 'ExternalName')
    return no('ServicePortError', `${where} is not listening on port ${port}`)
  const path = `/apis/${backend.group}/${backend.version}`
  let url = `https://${name}.${namespace}.svc:${port}${path}`
  try {
    const { host, port: at } = await targetOf(server, backend)
    url = `https://${host.includes(':') ? `[${host}]` : host}:${at}${path}`
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return no(
      'MissingEndpoints',
      `endpoints for ${where} have no addresses with port name ${JSON.stringify(found?.name ?? '')}`,
    )
  }
  try {
    const { status } = await fetchDocument(server, backend, path, 'application/json')
    if (status >= 200 && status < 300) return { status: 'True', reason: 'Passed', message: 'all checks passed' }
    return no('FailedDiscoveryCheck', `failing or missing response from ${url}: bad status from ${url}: ${status}`)
  } catch (error) {
    if (!(error instanceof OutgoingError || error instanceof ApiError)) throw error
    return no(
      'FailedDiscoveryCheck',
      `failing or missing response from ${url}: Get ${JSON.stringify(url)}: ${error.message}`,
    )
  }
}
