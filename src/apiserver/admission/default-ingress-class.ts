// DefaultIngressClass: an Ingress that names no class gets the default one, where there is one.
import { forbidden } from '../../api/machinery/errors.ts'
import type { Draft } from '../../api/machinery/schema.ts'
import {
  defaultIngressClassAnnotation,
  type Ingress,
  type IngressClass,
  ingressClassAnnotation,
} from '../../api/networking/ingress.ts'
import type { AdmissionPlugin } from './admission.ts'
import { collectionOf } from './lookup.ts'

export const defaultIngressClass: AdmissionPlugin = {
  name: 'DefaultIngressClass',
  handles: ({ operation, resource, subresource }) =>
    operation === 'CREATE' &&
    subresource === '' &&
    resource.kind.group === 'networking.k8s.io' &&
    resource.kind.plural === 'ingresses',
  async mutate(request, server) {
    const ingress = request.object as unknown as Draft<Ingress>
    if (ingress.spec.ingressClassName !== undefined) return
    if (ingress.metadata.annotations?.[ingressClassAnnotation] !== undefined) return
    const collection = await collectionOf(server, 'networking.k8s.io', 'ingressclasses')
    const defaults = (collection?.all('') ?? [])
      .map((entry) => collection?.object(entry) as unknown as IngressClass)
      .filter(({ metadata }) => metadata.annotations?.[defaultIngressClassAnnotation] === 'true')
    const newest = defaults.sort((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp))[0]
    if (newest === undefined) return
    if (defaults.filter((c) => c.metadata.creationTimestamp === newest.metadata.creationTimestamp).length > 1) {
      throw forbidden(
        { group: 'networking.k8s.io', resource: 'ingresses' },
        request.name,
        `${defaults.length} default IngressClasses were found, only 1 allowed`,
      )
    }
    ingress.spec.ingressClassName = newest.metadata.name
  },
}
