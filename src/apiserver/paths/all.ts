// Requests that are for no object, by path: what the server says about itself.
import type { ServerContext } from '../context.ts'
import type { ApiRequest, ApiResponse, UserInfo } from '../request.ts'
import type { RequestInfo } from '../request-info.ts'
import { documentResponse, textResponse } from '../responders/respond.ts'
import { discovery } from './discovery.ts'
import { health } from './health.ts'
import { openApi } from './openapi.ts'
import { versionInfo } from './version.ts'
import { why, whyPrefix } from './why.ts'

/** Undefined for paths that nobody serves. */
export async function answerPath(
  server: ServerContext,
  request: ApiRequest,
  info: RequestInfo,
  user: UserInfo,
): Promise<ApiResponse | undefined> {
  const path = info.path.length > 1 && info.path.endsWith('/') ? info.path.slice(0, -1) : info.path
  if (path === '/api' || path === '/apis' || path.startsWith('/api/') || path.startsWith('/apis/')) {
    return discovery(server, request, path)
  }
  if (path.startsWith('/openapi/')) return openApi(server, request, info)
  if (path.startsWith(whyPrefix)) return why(server, request, user)
  switch (path) {
    case '/version':
      return documentResponse(request, versionInfo)
    case '/':
      return documentResponse(request, { paths: knownPaths(server) })
    case '/metrics':
      return textResponse(
        200,
        server.metrics.text(server) + server.ownMetrics(),
        'text/plain; version=0.0.4; charset=utf-8',
      )
    case '/openid/v1/jwks':
      return documentResponse(request, await server.identity.tokens.jwks(), {
        ...publicDocument,
        'content-type': 'application/jwk-set+json',
      })
    case '/.well-known/openid-configuration':
      return documentResponse(request, openidConfiguration(server), publicDocument)
  }
  const healthy = await health(server, info, path)
  if (healthy !== undefined) return textResponse(healthy.status, healthy.text)
  return undefined
}

/** Relying parties may keep what they fetched for an hour, as upstream tells them. */
const publicDocument = { 'cache-control': 'public, max-age=3600' }

function openidConfiguration(server: ServerContext) {
  const { issuer } = server.identity.tokens
  const { advertiseAddress, port } = server.options
  const host = advertiseAddress.includes(':') ? `[${advertiseAddress}]` : advertiseAddress
  return {
    issuer,
    jwks_uri: `https://${host}:${port}/openid/v1/jwks`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
  }
}

function knownPaths(server: ServerContext): readonly string[] {
  const groups = new Set<string>()
  for (const { group, version } of server.resources.all()) {
    groups.add(group === '' ? `/api/${version}` : `/apis/${group}/${version}`)
    if (group !== '') groups.add(`/apis/${group}`)
  }
  return [
    '/.well-known/openid-configuration',
    '/api',
    '/apis',
    '/apis/',
    '/healthz',
    '/livez',
    '/metrics',
    '/openapi/v2',
    '/openapi/v3',
    '/openid/v1/jwks',
    '/readyz',
    '/version',
    ...groups,
  ].sort()
}
