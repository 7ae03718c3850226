// redis from Debian's packages, under the names that manifests use. Its server is redis-check-rdb under another name.
import { directory, dockerArchive, symlink } from './archive.ts'
import { busyboxEntries } from './busybox.ts'
import { programEntries, withPackages } from './packages.ts'

export const redisNames = ['docker.io/library/redis:latest', 'docker.io/kubeguide/redis-master:2.0']

/** Needs apt's lists. */
export const redisArchive = (names: readonly string[] = redisNames): Promise<Uint8Array> =>
  withPackages(['redis-tools', 'libatomic1', 'libjemalloc2', 'liblzf1'], async (root) =>
    dockerArchive(
      names,
      [
        ...(await busyboxEntries()),
        ...programEntries(root, ['usr/bin/redis-check-rdb', 'usr/bin/redis-cli']),
        symlink('usr/bin/redis-server', 'redis-check-rdb'),
        directory('data', 0o777),
      ],
      {
        Cmd: ['/usr/bin/redis-server', '--protected-mode', 'no'],
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
        ExposedPorts: { '6379/tcp': {} },
        WorkingDir: '/data',
      },
    ),
  )
