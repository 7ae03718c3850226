// cox apply: server-side apply of what the files say.
import { type Command, CliError, dataDirFlag, namespaceFlags, note, out } from '../command.ts'
import { askMaybe, connect, serverError, wholeBody } from '../connect.ts'
import { type ApiResource, discover, pathOf } from '../discover.ts'
import { type Manifest, readManifests } from '../manifests.ts'

/** The resource of a manifest. Throws CliError in kubectl's words. */
export function resourceFor(resources: readonly ApiResource[], manifest: Manifest): ApiResource {
  const found = resources.find(
    (r) => r.kind === manifest.kind && manifest.apiVersion === (r.group === '' ? r.version : `${r.group}/${r.version}`),
  )
  if (found === undefined)
    throw new CliError(
      `resource mapping not found for name: "${manifest.metadata?.name ?? ''}": no matches for kind "${manifest.kind}" in version "${manifest.apiVersion}"`,
    )
  return found
}
export const labelOf = (r: ApiResource, name: string): string =>
  `${r.singular}${r.group === '' ? '' : `.${r.group}`}/${name}`

export const apply: Command = {
  name: 'apply',
  summary: 'Create or change objects so that they are as the files say.',
  usage: 'apply -f FILE|DIR|- [flags]',
  flags: {
    ...dataDirFlag,
    ...namespaceFlags,
    filename: {
      type: 'string',
      short: 'f',
      value: 'FILE',
      multiple: true,
      help: 'file or folder with manifests, - for standard input',
    },
  },
  async run(call) {
    const files = call.flags('filename')
    if (files.length === 0) throw new CliError('say which files: cox apply -f FILE', 2)
    const manifests = readManifests(files)
    const transport = connect(call)
    let failed = 0
    try {
      const resources = await discover(transport)
      for (const manifest of manifests) {
        try {
          const resource = resourceFor(resources, manifest)
          const name = manifest.metadata?.name
          if (name === undefined) throw new CliError(`${manifest.kind}: metadata.name must be set`)
          const namespace = manifest.metadata.namespace ?? call.flag('namespace') ?? 'default'
          const path = pathOf(resource, namespace, name)
          const before = await askMaybe<{ metadata: { resourceVersion: string } }>(transport, path)
          const query = 'fieldManager=cox&fieldValidation=Strict'
          const response = await transport.send({
            ...(before === undefined
              ? { method: 'POST', path: `${path.slice(0, path.lastIndexOf('/'))}?${query}` }
              : { method: 'PATCH', path: `${path}?${query}&force=true` }),
            headers: {
              'content-type': before === undefined ? 'application/json' : 'application/apply-patch+yaml',
              accept: 'application/json',
            },
            body: new TextEncoder().encode(JSON.stringify(manifest)),
          })
          const body = await wholeBody(response)
          if (response.status >= 400) throw serverError(response.status, body)
          const after = JSON.parse(body) as { metadata: { resourceVersion: string } }
          const verb =
            before === undefined
              ? 'created'
              : before.metadata.resourceVersion === after.metadata.resourceVersion
                ? 'unchanged'
                : 'configured'
          out(`${labelOf(resource, name)} ${verb}\n`)
        } catch (error) {
          if (!(error instanceof CliError)) throw error
          // The other objects of the files are still applied, as kubectl does.
          note(error.message)
          failed++
        }
      }
      return failed === 0 ? 0 : 1
    } finally {
      transport.close?.()
    }
  },
}
