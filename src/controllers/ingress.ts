// What the ingress of the nodes shows through the API: its IngressClass, the addresses in the status of every Ingress that
// is its own, and events about what it cannot serve. The nodes say by an annotation on which ports they serve.
import { type Node, nodes as nodeKind } from '../api/core/node.ts'
import { services as serviceKind } from '../api/core/service.ts'
import { equal } from '../api/machinery/equal.ts'
import {
  defaultIngressClassAnnotation,
  type Ingress,
  type IngressBackend,
  ingressClasses as classKind,
  ingresses as ingressKind,
} from '../api/networking/ingress.ts'
import {
  builtinIngressClass,
  ingressControllerName,
  ingressPortsOf,
  isServedIngress,
} from '../api/networking/served-ingress.ts'
import { keyOf } from '../client/informer.ts'
import { findCondition } from './framework/conditions.ts'
import { type Controller, recorderFor } from './framework/controller.ts'
import { startReconciler } from './framework/reconciler.ts'

type Addresses = NonNullable<Ingress['status']['loadBalancer']['ingress']>
const fieldManager = 'ingress-controller'
/** The key under which the class is looked after; no Ingress has such a key. */
const classKey = 'class'

const backendsOf = ({ spec }: Ingress): readonly IngressBackend[] => [
  ...(spec.defaultBackend === undefined ? [] : [spec.defaultBackend]),
  ...(spec.rules ?? []).flatMap((rule) => (rule.http?.paths ?? []).map(({ backend }) => backend)),
]
const isReady = (node: Node) => findCondition(node.status.conditions, 'Ready')?.status === 'True'

/** Addresses of the Ready nodes that serve, with the ports where they are not the well-known ones. */
export function servedAt(nodes: Iterable<Node>): Addresses {
  const out: { ip: string; ports?: { port: number; protocol: string }[] }[] = []
  for (const node of [...nodes].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    const ports = ingressPortsOf(node.metadata.annotations)
    if (ports === undefined || !isReady(node)) continue
    const all = node.status.addresses ?? []
    const external = all.filter(({ type }) => type === 'ExternalIP')
    for (const { address } of external.length > 0 ? external : all.filter(({ type }) => type === 'InternalIP'))
      out.push({
        ip: address,
        ...(ports.http === 80 && ports.https === 443
          ? {}
          : {
              ports: [
                { port: ports.http, protocol: 'TCP' },
                { port: ports.https, protocol: 'TCP' },
              ],
            }),
      })
  }
  return out
}

/** Whether the status was written here. */
const isOurs = ({ metadata }: Ingress): boolean =>
  (metadata.managedFields ?? []).some((entry) => entry.manager === fieldManager && entry.subresource === 'status')

export const ingressController: Controller = {
  name: 'ingress-controller',
  start(context) {
    const { informers } = context
    const ingresses = informers.informer(ingressKind)
    const classes = informers.informer(classKind)
    const nodes = informers.informer(nodeKind)
    const services = informers.informer(serviceKind)
    const recorder = recorderFor(context, fieldManager)
    const served = (ingress: Ingress) => isServedIngress(ingress, (name) => classes.get(name))
    /** What was complained of, by Ingress: once for each generation. */
    const complained = new Map<string, string>()

    function complain(ingress: Ingress, key: string): void {
      const wrong: string[] = []
      for (const { resource, service } of backendsOf(ingress)) {
        if (resource !== undefined)
          wrong.push(
            `resource backend ${resource.kind} ${JSON.stringify(resource.name)} cannot be served: use a Service`,
          )
        else if (service !== undefined && services.get(service.name, ingress.metadata.namespace) === undefined)
          wrong.push(`service ${JSON.stringify(service.name)} not found`)
      }
      const text = [...new Set(wrong)].join('; ')
      if (complained.get(key) === text) return
      complained.set(key, text)
      if (text !== '') recorder.event(ingress, 'Warning', 'RejectedBackend', text)
    }

    const reconciler = startReconciler({
      context,
      caches: [ingresses, classes, nodes, services],
      async reconcile(key, writes) {
        if (key === classKey) {
          if (classes.get(builtinIngressClass) !== undefined) return
          const other = [...classes.list()].some(
            ({ metadata }) => metadata.annotations?.[defaultIngressClassAnnotation] === 'true',
          )
          await writes.create(classKind, {
            metadata: {
              name: builtinIngressClass,
              ...(other ? {} : { annotations: { [defaultIngressClassAnnotation]: 'true' } }),
            },
            spec: { controller: ingressControllerName },
          })
          return
        }
        const ingress = ingresses.byKey(key)
        if (ingress === undefined) return void complained.delete(key)
        const present = ingress.status.loadBalancer.ingress ?? []
        const mine = served(ingress)
        if (mine) complain(ingress, key)
        else if (present.length === 0 || !isOurs(ingress)) return
        const wanted = mine ? servedAt(nodes.list()) : []
        if (equal(present, wanted)) return
        const status = { loadBalancer: wanted.length === 0 ? null : { ingress: wanted } }
        await writes.patch(ingressKind, ingress, 'merge', { status }, { subresource: 'status', fieldManager })
      },
      onStop() {
        for (const off of handlers) off()
        recorder.stop()
      },
    })
    const touch = (ingress: Ingress) => reconciler.enqueue(keyOf(ingress))
    const touchAll = () => {
      for (const ingress of ingresses.list()) touch(ingress)
    }
    const handlers = [
      ingresses.handle({ add: touch, update: touch, delete: touch }),
      classes.handle({ add: touchAll, update: touchAll, delete: touchAll }),
      nodes.handle({
        add: touchAll,
        update(node, old) {
          if (!equal(servedAt([node]), servedAt([old]))) touchAll()
        },
        delete: touchAll,
      }),
      services.handle({
        add({ metadata: { namespace, name } }, initial) {
          if (initial) return
          for (const ingress of ingresses.list())
            if (ingress.metadata.namespace === namespace && backendsOf(ingress).some((b) => b.service?.name === name))
              touch(ingress)
        },
      }),
    ]
    reconciler.enqueue(classKey)
    return reconciler
  },
}
