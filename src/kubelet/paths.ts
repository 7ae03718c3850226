// Where things of a pod are on the node. Upstream's layout; secrets and tokens live on one tmpfs of the node instead of
// one per volume, which spares a mount per pod.

export interface PodPaths {
  readonly root: string
  readonly uid: string
  /** root/pods/UID */
  readonly directory: string
  /** The pod's part of the node's tmpfs for secrets. */
  readonly memoryDirectory: string
  readonly etcHosts: string
  volume(plugin: string, name: string): string
  memoryVolume(plugin: string, name: string): string
  container(name: string): string
  subPath(volume: string, container: string, index: number): string
}

export const secretsRoot = (root: string): string => `${root}/secrets`
export const podsRoot = (root: string): string => `${root}/pods`

export function podPaths(root: string, uid: string): PodPaths {
  const directory = `${podsRoot(root)}/${uid}`
  const memoryDirectory = `${secretsRoot(root)}/${uid}`
  const escaped = (plugin: string) => plugin.replaceAll('/', '~')
  return {
    root,
    uid,
    directory,
    memoryDirectory,
    etcHosts: `${directory}/etc-hosts`,
    volume: (plugin, name) => `${directory}/volumes/${escaped(plugin)}/${name}`,
    memoryVolume: (plugin, name) => `${memoryDirectory}/${escaped(plugin)}/${name}`,
    container: (name) => `${directory}/containers/${name}`,
    subPath: (volume, container, index) => `${directory}/volume-subpaths/${volume}/${container}/${index}`,
  }
}
