// What the API server does about objects that extend it, in order: each part watches its own kinds.
import type { Client } from '../../client/client.ts'
import type { ServerContext } from '../context.ts'
import { flowObjectKeeper } from '../flowcontrol/keep-objects.ts'
import { customResources } from './custom-resources.ts'
import { serverEndpoints } from './server-endpoints.ts'

export interface Extension {
  /** Resolves when everything that was there before is in force. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** `client` acts as the server itself. */
export const extensionsOf = (server: ServerContext, client: Client): readonly Extension[] => [
  customResources(server, client),
  flowObjectKeeper(server, client),
  serverEndpoints(server, client),
]
