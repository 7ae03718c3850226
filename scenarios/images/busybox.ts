// busybox, from Debian's busybox-static: one program under every name that it answers to.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { TarEntry } from 'modern-tar'
import { directory, dockerArchive, file, symlink } from './archive.ts'

export const busyboxNames = ['docker.io/library/busybox:latest', 'docker.io/library/busybox:1.35']
const program = '/bin/busybox'

/** The files of a small userland: what other images build on. Needs the package busybox-static. */
export function busyboxEntries(): TarEntry[] {
  if (!existsSync(program)) throw new Error('busybox is not installed: apt-get install busybox-static')
  const applets = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n')
  return [
    directory('bin'),
    file('bin/busybox', readFileSync(program), 0o755),
    ...applets.filter((name) => name !== 'busybox').map((name) => symlink(`bin/${name}`, 'busybox')),
    directory('sbin'),
    symlink('sbin/sysctl', '../bin/busybox'),
    ...[
      'dev',
      'etc',
      'home',
      'lib',
      'proc',
      'sys',
      'usr',
      'usr/bin',
      'usr/sbin',
      'usr/share',
      'usr/local',
      'var',
      'var/log',
      'var/run',
      'run',
      'mnt',
      'opt',
    ].map((name) => directory(name)),
    symlink('usr/bin/env', '../../bin/busybox'),
    directory('tmp', 0o1777),
    directory('root', 0o700),
    file(
      'etc/passwd',
      'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n',
    ),
    file('etc/group', 'root:x:0:\ndaemon:x:1:\nusers:x:100:\nnogroup:x:65534:\n'),
    file('etc/nsswitch.conf', 'hosts: files dns\n'),
  ]
}
export const busyboxArchive = (names: readonly string[] = busyboxNames): Promise<Uint8Array> =>
  dockerArchive(names, busyboxEntries(), {
    Cmd: ['sh'],
    Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
  })
