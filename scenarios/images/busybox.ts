// busybox from Debian: one program under every name that it answers to. The machine's own is taken where there is one
// (package busybox-static), else Debian's is downloaded.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { TarEntry } from 'modern-tar'
import { directory, dockerArchive, file, symlink } from './archive.ts'
import { programEntries, withPackages } from './packages.ts'

export const busyboxNames = ['docker.io/library/busybox:latest', 'docker.io/library/busybox:1.35']

let cached: Promise<TarEntry[]> | undefined
/** The files of a small userland: what other images build on. */
export function busyboxEntries(): Promise<TarEntry[]> {
  cached ??= existsSync('/bin/busybox')
    ? Promise.resolve(userland('/'))
    : withPackages(['busybox'], (root) => Promise.resolve(userland(root)))
  return cached
}

const folders =
  'dev etc home lib mnt opt proc run sbin sys usr usr/bin usr/sbin usr/local usr/share var var/lib var/log var/run'.split(
    ' ',
  )
const users =
  'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n'
const groups = 'root:x:0:\ndaemon:x:1:\nusers:x:100:\nnogroup:x:65534:\n'

function userland(root: string): TarEntry[] {
  const program = ['bin/busybox', 'usr/bin/busybox'].find((path) => existsSync(join(root, path))) ?? 'bin/busybox'
  const applets = execFileSync(join(root, program), ['--list'], { encoding: 'utf8' }).trim().split('\n')
  const entries = programEntries(root, [program]).map((entry) =>
    entry.header.name === program ? { ...entry, header: { ...entry.header, name: 'bin/busybox' } } : entry,
  )
  return [
    directory('bin'),
    ...folders.map((name) => directory(name)),
    ...entries,
    ...applets.filter((name) => name !== 'busybox').map((name) => symlink(`bin/${name}`, 'busybox')),
    symlink('sbin/sysctl', '../bin/busybox'),
    symlink('usr/bin/env', '../../bin/busybox'),
    directory('tmp', 0o1777),
    directory('root', 0o700),
    file('etc/passwd', users),
    file('etc/group', groups),
    file('etc/nsswitch.conf', 'hosts: files dns\n'),
  ]
}
export const busyboxArchive = async (names: readonly string[] = busyboxNames): Promise<Uint8Array> =>
  dockerArchive(names, await busyboxEntries(), {
    Cmd: ['sh'],
    Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
  })
