// Directories that the control plane asks this node to keep: those of local volumes, each under its volume's name in one
// folder, and hostPath volumes that are emptied or removed when their claim is gone.
import type { TransportRequest } from '../ports/transport.ts'
import type { Disk } from '../ports/disk.ts'

export type DirectoryAnswer =
  | { readonly status: 200; readonly body: object }
  | { readonly status: 400 | 404 | 405; readonly message: string }

const volumePath = /^\/volumes\/([a-z0-9][-a-z0-9.]*)(\/remove)?$/
const hostPath = /^\/hostPaths\/(recycle|remove)$/

export const isDirectoryRequest = (path: string): boolean =>
  path.startsWith('/volumes/') || path.startsWith('/hostPaths/')

/** Removes what is in a directory and leaves the directory as it is. */
async function empty(disk: Disk, path: string): Promise<void> {
  for (const { name } of (await disk.readdir(path)) ?? []) await disk.remove(`${path}/${name}`)
}
function pathOf({ object, body }: TransportRequest): string | undefined {
  const sent = (object ?? (body === undefined ? undefined : JSON.parse(new TextDecoder().decode(body)))) as
    | { readonly path?: unknown }
    | undefined
  const path = sent?.path
  if (typeof path !== 'string' || !path.startsWith('/')) return undefined
  const parts = path.split('/').filter((part) => part !== '')
  return parts.length === 0 || parts.includes('..') ? undefined : `/${parts.join('/')}`
}

/** POST /volumes/NAME makes the directory of a local volume (open to every user, as a pod may run as anyone) and answers
 * its path; /volumes/NAME/remove removes it. POST /hostPaths/recycle and /hostPaths/remove take {"path": ...}. Throws
 * DiskError. */
export async function directoryRequest(
  disk: Disk,
  folder: string,
  request: TransportRequest,
): Promise<DirectoryAnswer> {
  const [path = ''] = request.path.split('?')
  if (request.method !== 'POST') return { status: 405, message: 'method not allowed' }
  const volume = volumePath.exec(path)
  if (volume !== null) {
    const directory = `${folder}/${volume[1] ?? ''}`
    if (volume[2] !== undefined) await disk.remove(directory)
    else {
      await disk.mkdir(directory, { mode: 0o777 })
      // Also where an earlier attempt has made it and not come to this.
      await disk.chmod(directory, 0o777)
    }
    return { status: 200, body: { path: directory } }
  }
  const action = hostPath.exec(path)?.[1]
  if (action === undefined) return { status: 404, message: '404 page not found' }
  const directory = pathOf(request)
  if (directory === undefined) return { status: 400, message: 'path: must be an absolute path without ".."' }
  await (action === 'recycle' ? empty(disk, directory) : disk.remove(directory))
  return { status: 200, body: { path: directory } }
}
