// The node's files and mounts as a port. Absolute paths with '/', expected absence is `undefined` (never an error),
// everything else that goes wrong is a DiskError with the system's code. Removal never crosses into a mount.
export interface FileStat {
  readonly type: 'file' | 'directory' | 'symlink' | 'socket' | 'charDevice' | 'blockDevice' | 'fifo'
  readonly sizeBytes: number
  /** Permission bits, setuid, setgid and sticky (07777). */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeMs: number
  /** Same file, same number on the same `device`; a rotated log shows another one. */
  readonly inode: number
  readonly device: number
}
export interface DirectoryEntry {
  readonly name: string
  readonly type: FileStat['type']
}
export interface WriteFileOptions {
  /** Exactly these permission bits, whatever the umask. Default 0o644. */
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
}
export interface MountEntry {
  readonly target: string
  readonly source: string
  readonly fsType: string
  readonly readonly: boolean
}

/** An open file for reading at any offset: what log reading needs. A renamed or removed file stays readable. */
export interface OpenFile {
  /** At most `length` bytes from `offset`; empty at the end. */
  read(offset: number, length: number): Promise<Uint8Array>
  stat(): Promise<FileStat>
  close(): Promise<void>
}

export interface Disk {
  readFile(path: string): Promise<Uint8Array | undefined>
  /** Writes in place; makes no directories. */
  writeFile(path: string, content: Uint8Array, options?: WriteFileOptions): Promise<void>
  /** Writes beside, syncs, renames: a reader sees the old or the new content, whole. */
  replaceFile(path: string, content: Uint8Array, options?: WriteFileOptions): Promise<void>
  open(path: string): Promise<OpenFile | undefined>
  /** With parents; no error when it is there. `mode` (default 0o755) holds for the last element and only when created,
   * whatever the umask. */
  mkdir(path: string, options?: WriteFileOptions): Promise<void>
  /** Atomic, over what is there; both on one file system. */
  rename(from: string, to: string): Promise<void>
  symlink(target: string, path: string): Promise<void>
  readlink(path: string): Promise<string | undefined>
  /** Follows symlinks. */
  stat(path: string): Promise<FileStat | undefined>
  lstat(path: string): Promise<FileStat | undefined>
  /** Sorted by name; undefined when absent. */
  readdir(path: string): Promise<readonly DirectoryEntry[] | undefined>
  chmod(path: string, mode: number): Promise<void>
  /** Does not follow symlinks. */
  chown(path: string, uid: number, gid: number): Promise<void>
  /** rm -rf, without following symlinks and without entering other file systems: a mount below is an EBUSY error. */
  remove(path: string): Promise<void>

  /** A tmpfs of its own on `path`, which is made when absent. */
  mountTmpfs(path: string, options: { readonly sizeBytes?: number; readonly mode?: number }): Promise<void>
  /** Bind mount of a file or directory; `target` must exist. Recursive. */
  bindMount(source: string, target: string, options?: { readonly readonly?: boolean }): Promise<void>
  /** Mounts any file system: what nfs, iscsi and local block volumes need. */
  mountDevice(options: {
    readonly source: string
    readonly target: string
    readonly fsType: string
    readonly flags: readonly string[]
  }): Promise<void>
  /** Bind mount of `path` on itself with shared propagation, once: mounts made below are seen by containers. */
  makeShared(path: string): Promise<void>
  /** No error when nothing is mounted there. Detaches (MNT_DETACH) when busy. */
  unmount(path: string): Promise<void>
  /** Mounts at or below `path`, deepest last. */
  mounts(path: string): Promise<readonly MountEntry[]>

  /** Opens `root`/`subPath` element by element without following any symlink out of `root` and bind mounts what was
   * opened on `target` (made as file or directory to match). Missing directories are made with `mode` when given.
   * DiskError ENOENT when absent and no mode, EPERM when the path leaves `root`. */
  bindWithin(options: {
    readonly root: string
    readonly subPath: string
    readonly target: string
    readonly readonly: boolean
    readonly mode?: number
  }): Promise<void>

  /** Changes in a directory, or of one file's content: called soon after, perhaps once for many. Watch before you
   * read. `close` is idempotent. */
  watch(path: string, onChange: () => void): { close(): void }
  /** What a tree holds on its own file system, hard links counted once. */
  usage(path: string): Promise<{ readonly bytes: number; readonly inodes: number }>
  /** Figures of the file system that `path` is on. */
  fileSystem(path: string): Promise<{
    readonly capacityBytes: number
    readonly availableBytes: number
    readonly inodes: number
    readonly inodesFree: number
  }>
}

/** A failed file or mount operation; `code` is errno's name, `message` names operation and path. */
export class DiskError extends Error {
  readonly code: string
  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'DiskError'
    this.code = code
  }
}
export const isDiskError = (error: unknown, code: string): boolean => error instanceof DiskError && error.code === code
