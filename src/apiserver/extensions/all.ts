// What the API server does about objects that extend it, in order: each part watches its own kinds.
import type { Client } from '../../client/client.ts'
import { aggregation } from '../aggregation/api-services.ts'
import type { ServerContext } from '../context.ts'
import { flowObjectKeeper } from '../flowcontrol/keep-objects.ts'
import { customResources } from './custom-resources.ts'
import type { Extension } from './extension.ts'
import { serverEndpoints } from './server-endpoints.ts'
import { serverIdentity } from './server-identity.ts'

/** `client` acts as the server itself. */
export const extensionsOf = (server: ServerContext, client: Client): readonly Extension[] => [
  customResources(server, client),
  aggregation(server, client),
  flowObjectKeeper(server, client),
  serverEndpoints(server, client),
  serverIdentity(server, client),
]
