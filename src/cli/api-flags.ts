// Flags of the API server, under upstream's names: who may knock, what is written down, what is encrypted. Files are read
// and checked before anything is begun; what is wrong names the flag, the file and the field.
import { readFileSync } from 'node:fs'
import { type AuditPolicy, auditPolicies } from '../api/audit/policy.ts'
import { type EncryptionConfiguration, encryptionConfigurations } from '../api/encryption/encryption-configuration.ts'
import { ConfigError, type ConfigKind, readConfig } from '../api/machinery/config-file.ts'
import { parseRuntimeConfig, type RuntimeConfig, RuntimeConfigError, servedKinds } from '../api/runtime-config.ts'
import type { FrontProxies } from '../apiserver/context.ts'
import type { UserInfo } from '../apiserver/request.ts'
import { type AuditFileOptions, openAuditFile } from '../host/audit-file.ts'
import { holdsCertificates } from '../host/client-certificates.ts'
import type { Log } from '../ports/log.ts'
import { CliError, type Flag, type Invocation } from './command.ts'

export const apiFlags = {
  'anonymous-auth': {
    type: 'string',
    value: 'BOOL',
    help: 'false: requests without credentials are refused (default: true)',
  },
  'token-auth-file': {
    type: 'string',
    value: 'FILE',
    help: 'static bearer tokens: lines of TOKEN,USER,UID[,"GROUP,GROUP"]',
  },
  'requestheader-client-ca-file': {
    type: 'string',
    value: 'FILE',
    help: 'authorities of proxies in front of the API that tell in X-Remote-User, -Uid, -Group and -Extra-* who asks',
  },
  'requestheader-allowed-names': {
    type: 'string',
    value: 'NAME,...',
    help: 'common names of such proxies (default: all that the authorities vouch for)',
  },
  'audit-policy-file': { type: 'string', value: 'FILE', help: 'audit.k8s.io/v1 Policy: which requests are audited' },
  'audit-log-path': {
    type: 'string',
    value: 'FILE',
    help: 'where audit events go, as JSON lines; - is standard output',
  },
  'audit-log-maxsize': { type: 'string', value: 'MB', help: 'set the audit log aside at this size (default: 100)' },
  'audit-log-maxbackup': { type: 'string', value: 'N', help: 'old audit logs to keep (default: all)' },
  'audit-log-maxage': { type: 'string', value: 'DAYS', help: 'remove audit logs that are older (default: never)' },
  'encryption-provider-config': {
    type: 'string',
    value: 'FILE',
    help: 'EncryptionConfiguration: which objects are encrypted in the store, with which keys',
  },
  'runtime-config': {
    type: 'string',
    value: 'KEY=BOOL,...',
    help: 'more versions to serve: api/all, api/beta, api/alpha, GROUP/VERSION or GROUP/VERSION/RESOURCE',
  },
  'max-requests-inflight': {
    type: 'string',
    value: 'N',
    help: 'requests worked on at once, dealt out by API priority and fairness (default: 600)',
  },
} as const satisfies Record<string, Flag>

export interface ApiChoice {
  readonly tokens?: ReadonlyMap<string, UserInfo>
  readonly anonymousAuth?: boolean
  readonly maxRequestsInflight?: number
  readonly frontProxies?: FrontProxies
  readonly audit?: { readonly policy: AuditPolicy; readonly file: Omit<AuditFileOptions, 'onError'> }
  readonly encryption?: EncryptionConfiguration
  readonly runtimeConfig?: RuntimeConfig
}

/** What a choice means to the cluster; the audit log is open until `close`. Throws CliError. */
export function openApi(choice: ApiChoice, log: Log) {
  const { tokens, anonymousAuth, maxRequestsInflight, frontProxies, encryption, runtimeConfig } = choice
  const audit = choice.audit === undefined ? undefined : openAudit(choice.audit, log)
  return {
    settings: {
      ...(anonymousAuth === undefined ? {} : { anonymousAuth }),
      ...(maxRequestsInflight === undefined ? {} : { maxRequestsInflight }),
      ...(frontProxies === undefined ? {} : { frontProxies }),
    },
    options: {
      ...(tokens === undefined ? {} : { tokens }),
      ...(encryption === undefined ? {} : { encryption }),
      ...(runtimeConfig === undefined ? {} : { kinds: servedKinds(runtimeConfig) }),
      ...(audit === undefined ? {} : { audit }),
    },
    close: () => audit?.log.close(),
  }
}
function openAudit({ policy, file }: NonNullable<ApiChoice['audit']>, log: Log) {
  const onError = (error: Error) => log.error('the audit log cannot be written', { error: error.message })
  try {
    return { policy, log: openAuditFile({ ...file, onError }) }
  } catch (error) {
    throw new CliError(`--audit-log-path: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Throws CliError. */
export function apiChoiceOf(call: Invocation): ApiChoice {
  const tokenFile = call.flag('token-auth-file')
  const encryption = call.flag('encryption-provider-config')
  const audit = auditOf(call)
  const anonymous = call.flag('anonymous-auth')
  if (anonymous !== undefined && anonymous !== 'true' && anonymous !== 'false')
    throw new CliError(`--anonymous-auth wants true or false, not "${anonymous}"`, 2)
  const inflight = countOf(call, 'max-requests-inflight', 1)
  const runtime = call.flag('runtime-config')
  const frontProxies = frontProxiesOf(call)
  return {
    ...(tokenFile === undefined ? {} : { tokens: parseTokenFile(tokenFile, contentOf('token-auth-file', tokenFile)) }),
    ...(anonymous === undefined ? {} : { anonymousAuth: anonymous === 'true' }),
    ...(inflight === undefined ? {} : { maxRequestsInflight: inflight }),
    ...(frontProxies === undefined ? {} : { frontProxies }),
    ...(audit === undefined ? {} : { audit }),
    ...(runtime === undefined ? {} : { runtimeConfig: runtimeConfigOf(runtime) }),
    ...(encryption === undefined
      ? {}
      : { encryption: configOf('encryption-provider-config', encryption, encryptionConfigurations) }),
  }
}

function auditOf(call: Invocation): ApiChoice['audit'] {
  const policy = call.flag('audit-policy-file')
  const path = call.flag('audit-log-path')
  const [megabytes, backups, days] = [
    countOf(call, 'audit-log-maxsize', 1),
    countOf(call, 'audit-log-maxbackup', 0),
    countOf(call, 'audit-log-maxage', 0),
  ]
  if (policy === undefined && path === undefined) return undefined
  if (policy === undefined)
    throw new CliError('--audit-log-path needs --audit-policy-file: without a policy nothing is audited', 2)
  if (path === undefined)
    throw new CliError('--audit-policy-file needs --audit-log-path: say where events are to go', 2)
  return {
    policy: configOf('audit-policy-file', policy, auditPolicies),
    file: {
      path,
      ...(megabytes === undefined ? {} : { maxBytes: megabytes * 1024 * 1024 }),
      ...(backups === undefined ? {} : { maxBackups: backups }),
      ...(days === undefined ? {} : { maxAgeMs: days * 86_400_000 }),
    },
  }
}

function frontProxiesOf(call: Invocation): FrontProxies | undefined {
  const file = call.flag('requestheader-client-ca-file')
  const names = call.flag('requestheader-allowed-names')
  if (file === undefined) {
    if (names !== undefined)
      throw new CliError(
        '--requestheader-allowed-names needs --requestheader-client-ca-file: say who vouches for them',
        2,
      )
    return undefined
  }
  const caPem = contentOf('requestheader-client-ca-file', file)
  if (!holdsCertificates(caPem))
    throw new CliError(`--requestheader-client-ca-file: ${file} holds no certificate: expected PEM`)
  const allowedNames = (names ?? '').split(',').flatMap((name) => name.trim() || [])
  return { caPem, allowedNames }
}

function countOf(call: Invocation, flag: keyof typeof apiFlags, least: number): number | undefined {
  const text = call.flag(flag)
  if (text === undefined) return undefined
  const count = Number(text)
  if (!/^\d+$/.test(text) || count < least)
    throw new CliError(`--${flag} wants a whole number from ${least} on, not "${text}"`, 2)
  return count
}
function contentOf(flag: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new CliError(`--${flag}: cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
function configOf<T>(flag: string, file: string, kind: ConfigKind<T>): T {
  try {
    return readConfig(contentOf(flag, file), kind)
  } catch (error) {
    if (error instanceof ConfigError) throw new CliError(`--${flag}: ${file}: ${error.message}`)
    throw error
  }
}

function runtimeConfigOf(text: string): RuntimeConfig {
  try {
    return parseRuntimeConfig(text)
  } catch (error) {
    if (error instanceof RuntimeConfigError) throw new CliError(`--runtime-config: ${error.message}`, 2)
    throw error
  }
}

/** Lines of TOKEN,USER,UID and, where they belong to any, "GROUP,GROUP". Throws CliError that names the line. */
export function parseTokenFile(file: string, text: string): ReadonlyMap<string, UserInfo> {
  const tokens = new Map<string, UserInfo>()
  text.split(/\r?\n/).forEach((line, i) => {
    if (line.trim() === '' || line.startsWith('#')) return
    const [token = '', name = '', uid = '', groups = ''] = fieldsOf(line)
    const where = `--token-auth-file: ${file}, line ${i + 1}`
    if (token === '' || name === '') throw new CliError(`${where}: expected TOKEN,USER,UID and perhaps "GROUP,GROUP"`)
    if (tokens.has(token)) throw new CliError(`${where}: the token has been given before`)
    const named = groups.split(',').map((group) => group.trim())
    tokens.set(token, { name, ...(uid === '' ? {} : { uid }), groups: named.filter((group) => group !== '') })
  })
  return tokens
}
/** The fields of a line of comma-separated values. */
function fieldsOf(line: string): string[] {
  return Array.from(line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g), ([, quoted, bare]) =>
    (quoted?.replaceAll('""', '"') ?? bare ?? '').trim(),
  )
}
