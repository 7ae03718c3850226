// Every authorizer, in the order in which they are asked.
import type { ServerContext } from '../context.ts'
import { type Authorizer, privilegedGroups } from './authorizer.ts'
import { builtinUsers } from './builtin-users.ts'
import { nodeAuthorizer } from './node.ts'
import type { RbacAuthorizer } from './rbac.ts'

export const authorizersOf = (rbac: RbacAuthorizer, serverOf: () => ServerContext): readonly Authorizer[] => [
  privilegedGroups,
  builtinUsers,
  nodeAuthorizer(serverOf),
  rbac,
]
