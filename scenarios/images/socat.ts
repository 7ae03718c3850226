// socat from Debian's packages with busybox beside it: servers of TCP and UDP in a line of shell.
import { dockerArchive } from './archive.ts'
import { busyboxEntries } from './busybox.ts'
import { programEntries, withPackages } from './packages.ts'

export const socatNames = ['docker.io/library/socat:latest']

/** Needs apt's lists. */
export const socatArchive = (names: readonly string[] = socatNames): Promise<Uint8Array> =>
  withPackages(['socat', 'libwrap0'], async (root) =>
    dockerArchive(names, [...(await busyboxEntries()), ...programEntries(root, ['usr/bin/socat'])], {
      Cmd: ['sh'],
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    }),
  )
