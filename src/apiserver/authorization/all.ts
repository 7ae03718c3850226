// Every authorizer, in the order in which they are asked.
import { type Authorizer, privilegedGroups } from './authorizer.ts'
import { builtinUsers } from './builtin-users.ts'

export const authorizers: readonly Authorizer[] = [privilegedGroups, builtinUsers]
