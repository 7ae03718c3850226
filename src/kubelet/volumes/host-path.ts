// hostPath: a path of the node as it is, after the check that its type asks for.
import type { FileStat } from '../../ports/disk.ts'
import { MountError, type VolumePlugin } from './volume.ts'

/** What must be there, by hostPath type. */
const expected: Readonly<Record<string, { readonly type: FileStat['type']; readonly words: string }>> = {
  DirectoryOrCreate: { type: 'directory', words: 'a directory' },
  Directory: { type: 'directory', words: 'a directory' },
  FileOrCreate: { type: 'file', words: 'a file' },
  File: { type: 'file', words: 'a file' },
  Socket: { type: 'socket', words: 'a socket file' },
  CharDevice: { type: 'charDevice', words: 'a character device' },
  BlockDevice: { type: 'blockDevice', words: 'a block device' },
}

export const hostPathVolume: VolumePlugin = {
  name: 'kubernetes.io/host-path',
  supports: (volume) => volume.hostPath !== undefined,
  updates: false,
  prepare({ disk, volume }) {
    const hostPath = volume.hostPath?.path ?? ''
    const type = volume.hostPath?.type ?? ''
    return Promise.resolve(async () => {
      if (type === '') return { hostPath }
      let stat = await disk.stat(hostPath)
      if (stat === undefined && type === 'DirectoryOrCreate') await disk.mkdir(hostPath, { mode: 0o755 })
      if (stat === undefined && type === 'FileOrCreate')
        await disk.writeFile(hostPath, new Uint8Array(), { mode: 0o644 })
      stat ??= await disk.stat(hostPath)
      const wanted = expected[type]
      if (wanted !== undefined && stat?.type !== wanted.type)
        throw new MountError(`hostPath type check failed: ${hostPath} is not ${wanted.words}`)
      return { hostPath, isFile: stat?.type !== 'directory' }
    })
  },
}
