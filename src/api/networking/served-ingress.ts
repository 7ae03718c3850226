// Which Ingresses are this program's own: those of an IngressClass whose controller it is.
import { type Ingress, type IngressClass, ingressClassAnnotation } from './ingress.ts'

/** spec.controller of the IngressClasses that the built-in ingress serves. */
export const ingressControllerName = 'coxswain.io/ingress'
/** The class that every cluster has. */
export const builtinIngressClass = 'coxswain'
/** On Nodes whose agent serves Ingresses: {"http":80,"https":443}, the ports on which it does. */
export const ingressPortsAnnotation = 'ingress.coxswain.io/ports'

/** The class by field, or by the annotation that was there before it. */
const classNameOf = ({ spec, metadata }: Ingress): string | undefined =>
  spec.ingressClassName ?? metadata.annotations?.[ingressClassAnnotation]

/** An Ingress without a class is nobody's: a default class is written into it when it is made. */
export function isServedIngress(ingress: Ingress, classNamed: (name: string) => IngressClass | undefined): boolean {
  const name = classNameOf(ingress)
  return name !== undefined && classNamed(name)?.spec.controller === ingressControllerName
}

export interface IngressPorts {
  readonly http: number
  readonly https: number
}
/** What a node's annotation says; undefined without one, or with one that is not ours. */
export function ingressPortsOf(annotations: Readonly<Record<string, string>> | undefined): IngressPorts | undefined {
  const match = /^\{"http":(\d+),"https":(\d+)\}$/.exec(annotations?.[ingressPortsAnnotation] ?? '')
  return match === null ? undefined : { http: Number(match[1]), https: Number(match[2]) }
}
