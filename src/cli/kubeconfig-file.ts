// The kubeconfig that cox writes: context, cluster and user are called coxswain. Into a file of the user's it is merged,
// everything else in there stays.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { parse, stringify } from 'yaml'
import { CliError } from './command.ts'

export interface Access {
  readonly url: string
  readonly caPem: string
  readonly certificatePem: string
  readonly keyPem: string
}
interface Named {
  readonly name: string
  readonly [field: string]: unknown
}
interface Kubeconfig {
  readonly [field: string]: unknown
  readonly clusters?: readonly Named[]
  readonly users?: readonly Named[]
  readonly contexts?: readonly Named[]
}
const contextName = 'coxswain'
const base64 = (text: string) => Buffer.from(text).toString('base64')

export function kubeconfigOf(access: Access): Kubeconfig {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: contextName, cluster: { server: access.url, 'certificate-authority-data': base64(access.caPem) } },
    ],
    users: [
      {
        name: contextName,
        user: {
          'client-certificate-data': base64(access.certificatePem),
          'client-key-data': base64(access.keyPem),
        },
      },
    ],
    contexts: [{ name: contextName, context: { cluster: contextName, user: contextName } }],
    'current-context': contextName,
  }
}
/** Ours over what was there: entries of our name are replaced, the others kept. */
export function mergeKubeconfig(present: Kubeconfig, ours: Kubeconfig): Kubeconfig {
  const merge = (old: readonly Named[] | undefined, fresh: readonly Named[] | undefined) => [
    ...(old ?? []).filter(({ name }) => name !== contextName),
    ...(fresh ?? []),
  ]
  return {
    ...present,
    ...ours,
    clusters: merge(present.clusters, ours.clusters),
    users: merge(present.users, ours.users),
    contexts: merge(present.contexts, ours.contexts),
  }
}

/** Writes to `path`; with `merge` what stands there is kept. Throws CliError when it is no kubeconfig. */
export function writeKubeconfig(path: string, access: Access, merge: boolean): void {
  let content = kubeconfigOf(access)
  if (merge && existsSync(path)) {
    const present: unknown = parse(readFileSync(path, 'utf8'))
    if (present !== null && (typeof present !== 'object' || Array.isArray(present)))
      throw new CliError(`${path} is not a kubeconfig: name another file with --kubeconfig`)
    content = mergeKubeconfig((present ?? {}) as Kubeconfig, content)
  }
  mkdirSync(dirname(path), { recursive: true })
  // Readable by its owner alone from the first byte on: it holds a key.
  writeFileSync(`${path}.new`, stringify(content), { mode: 0o600 })
  renameSync(`${path}.new`, path)
}
