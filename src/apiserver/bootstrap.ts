// Objects that exist in every cluster from the first moment: the system namespaces and priority classes, the range of
// Service addresses, and the kubernetes Service with this server behind it. Each is created once; what an administrator
// has made of it since is left alone, save this server's own address, which is kept up to date.
import { dayOf, trackingConfigMap, trackingSince } from '../api/core/legacy-token.ts'
import { ApiError } from '../api/machinery/errors.ts'
import { systemPriorityClasses } from '../api/scheduling/priority-class.ts'
import type { Identity } from '../ports/identity.ts'
import { bootstrapPolicy } from './bootstrap-policy.ts'
import { known } from './authentication/authenticator.ts'
import { frontProxyHeaders } from './authentication/front-proxy.ts'
import type { FrontProxies, ServerContext, ServerSettings } from './context.ts'
import { dispatchResource } from './dispatch.ts'
import type { UserInfo } from './request.ts'
import { resolveRequestInfo } from './request-info.ts'
import { defaultServiceCidr, serviceAddress } from './strategies/services.ts'

/** Who the server is to itself. */
export const apiserver: UserInfo = Object.freeze(known({ name: 'system:apiserver', groups: ['system:masters'] }))

/** Creates what is missing. */
export async function bootstrap(server: ServerContext): Promise<void> {
  const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease']
  await Promise.all([
    ...namespaces.map((name) => ensure(server, 'v1', 'namespaces', '', { kind: 'Namespace', metadata: { name } })),
    ...systemPriorityClasses.map(({ name, value, description }) =>
      ensure(server, 'scheduling.k8s.io/v1', 'priorityclasses', '', {
        kind: 'PriorityClass',
        metadata: { name },
        value,
        description,
      }),
    ),
    ensure(server, 'networking.k8s.io/v1', 'servicecidrs', '', {
      kind: 'ServiceCIDR',
      metadata: { name: defaultServiceCidr },
      spec: { cidrs: server.options.serviceCidrs },
    }),
  ])
  await Promise.all([
    ensure(server, 'v1', 'configmaps', 'kube-system', {
      kind: 'ConfigMap',
      metadata: { name: trackingConfigMap },
      data: { [trackingSince]: dayOf(server.clock.now()) },
    }),
    publishAuthentication(server),
    ensureOwnService(server),
    bootstrapPolicy(server, (...request) => send(server, ...request)),
  ])
}

/** Whom this server believes, and servers behind it: itself, and the proxies that its flags name. */
export function trustedFrontProxies(
  { frontProxy }: Identity,
  { frontProxies }: Pick<ServerSettings, 'frontProxies'>,
): FrontProxies | undefined {
  if (frontProxy === undefined) return frontProxies
  const own = { caPem: frontProxy.caPem, allowedNames: [frontProxy.commonName] }
  if (frontProxies === undefined) return own
  const { caPem, allowedNames } = frontProxies
  return {
    caPem: `${own.caPem.trimEnd()}\n${caPem}`,
    allowedNames: allowedNames.length === 0 ? [] : [...new Set([...own.allowedNames, ...allowedNames])],
  }
}

/** How servers behind this one know whom to believe: clients' certificates, and this server's word for who asks. */
async function publishAuthentication(server: ServerContext): Promise<void> {
  const { ca } = server.identity
  const proxies = trustedFrontProxies(server.identity, server.options)
  await keep(server, 'v1', 'configmaps', 'kube-system', {
    kind: 'ConfigMap',
    metadata: { name: 'extension-apiserver-authentication' },
    data: {
      'client-ca-file': ca.certificatePem,
      ...(proxies === undefined
        ? {}
        : {
            'requestheader-allowed-names': JSON.stringify(proxies.allowedNames),
            'requestheader-client-ca-file': proxies.caPem,
            'requestheader-extra-headers-prefix': JSON.stringify([frontProxyHeaders.extraPrefix]),
            'requestheader-group-headers': JSON.stringify([frontProxyHeaders.group]),
            'requestheader-uid-headers': JSON.stringify([frontProxyHeaders.uid]),
            'requestheader-username-headers': JSON.stringify([frontProxyHeaders.user]),
          }),
    },
  })
}

/** The Service through which pods reach this server, and its endpoints. */
async function ensureOwnService(server: ServerContext): Promise<void> {
  const { serviceCidrs, advertiseAddress, port } = server.options
  const cidr = serviceCidrs[0] ?? ''
  const labels = { component: 'apiserver', provider: 'kubernetes' }
  await ensure(server, 'v1', 'services', 'default', {
    kind: 'Service',
    metadata: { name: 'kubernetes', labels },
    spec: {
      type: 'ClusterIP',
      clusterIP: serviceAddress(cidr, 1),
      ipFamilyPolicy: 'SingleStack',
      sessionAffinity: 'None',
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: port }],
    },
  })
  // Of several servers each is one endpoint of many: extensions/server-endpoints.ts keeps them.
  if (server.options.sharedStore) return
  // A loopback address means something else in every pod: no endpoint is better than a wrong one.
  if (/^(127\.|::1$|localhost$)/.test(advertiseAddress)) return
  await keep(server, 'v1', 'endpoints', 'default', {
    kind: 'Endpoints',
    metadata: { name: 'kubernetes', labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: [{ addresses: [{ ip: advertiseAddress }], ports: [{ name: 'https', port, protocol: 'TCP' }] }],
  })
  await keep(server, 'discovery.k8s.io/v1', 'endpointslices', 'default', {
    kind: 'EndpointSlice',
    metadata: { name: 'kubernetes', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: advertiseAddress.includes(':') ? 'IPv6' : 'IPv4',
    endpoints: [{ addresses: [advertiseAddress], conditions: { ready: true } }],
    ports: [{ name: 'https', port, protocol: 'TCP' }],
  })
}

type Manifest = {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> }
} & Readonly<Record<string, unknown>>

const pathOf = (apiVersion: string, plural: string, namespace: string): string => {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  return namespace === '' ? `${root}/${plural}` : `${root}/namespaces/${namespace}/${plural}`
}

/** Creates an object unless it exists. Kinds that are not served are passed over. */
export async function ensure(
  server: ServerContext,
  apiVersion: string,
  plural: string,
  namespace: string,
  manifest: Manifest,
): Promise<void> {
  try {
    await send(server, 'POST', pathOf(apiVersion, plural, namespace), { apiVersion, ...manifest })
  } catch (error) {
    if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error
  }
}

/** Creates an object, or makes an existing one say what `manifest` says. */
async function keep(
  server: ServerContext,
  apiVersion: string,
  plural: string,
  namespace: string,
  manifest: Manifest,
): Promise<void> {
  try {
    await send(server, 'POST', pathOf(apiVersion, plural, namespace), { apiVersion, ...manifest })
  } catch (error) {
    if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error
    const path = `${pathOf(apiVersion, plural, namespace)}/${manifest.metadata.name}`
    await send(server, 'PATCH', path, manifest, 'application/merge-patch+json')
  }
}

async function send(
  server: ServerContext,
  method: 'POST' | 'PATCH',
  path: string,
  object: object,
  contentType = 'application/json',
): Promise<void> {
  const headers = { 'content-type': contentType }
  const request = { method, path, headers, object, user: apiserver, wantsObjects: true } as const
  const info = resolveRequestInfo(request)
  if (server.resources.get(info.group, info.version, info.resource) === undefined) return
  await dispatchResource(server, request, info, apiserver)
}
