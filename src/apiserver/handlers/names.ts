// How errors name the resource and the kind of a request.
import type { ResourceName } from '../../api/machinery/errors.ts'
import type { ServedResource } from '../resources.ts'

export const resourceName = (resource: ServedResource): ResourceName => ({
  group: resource.group,
  resource: resource.kind.plural,
})
