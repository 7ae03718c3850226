// nginx from Debian's packages, in the shape of the image that manifests name: a page in /usr/share/nginx/html, logs on
// standard output, SIGQUIT to stop; with a shell and small tools from busybox.
import { directory, dockerArchive, file, symlink } from './archive.ts'
import { busyboxEntries } from './busybox.ts'
import { programEntries, withPackages } from './packages.ts'

export const nginxNames = [
  'docker.io/library/nginx:latest',
  'docker.io/library/nginx:1.7.9',
  'docker.io/library/nginx:1.9.1',
]

const config = `user nobody nogroup;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 512; }
http {
  types { text/html html; text/plain txt; text/css css; application/javascript js; }
  default_type application/octet-stream;
  access_log /dev/stdout;
  include /etc/nginx/conf.d/*.conf;
}
`
const site = `server {
  listen 80 default_server;
  location / { root /usr/share/nginx/html; index index.html; }
}
`
const page =
  '<!DOCTYPE html>\n<html><head><title>Welcome to nginx!</title></head><body><h1>Welcome to nginx!</h1></body></html>\n'

/** Needs apt's lists. */
export const nginxArchive = (names: readonly string[] = nginxNames): Promise<Uint8Array> =>
  withPackages(['nginx'], async (root) =>
    dockerArchive(
      names,
      [
        ...(await busyboxEntries()),
        ...programEntries(root, ['usr/sbin/nginx']),
        directory('usr/share/nginx'),
        directory('usr/share/nginx/html'),
        file('usr/share/nginx/html/index.html', page),
        directory('etc/nginx'),
        directory('etc/nginx/conf.d'),
        file('etc/nginx/nginx.conf', config),
        file('etc/nginx/conf.d/default.conf', site),
        directory('var/lib/nginx', 0o777),
        directory('var/log/nginx'),
        symlink('var/log/nginx/access.log', '/dev/stdout'),
        symlink('var/log/nginx/error.log', '/dev/stderr'),
      ],
      {
        Cmd: ['/usr/sbin/nginx', '-g', 'daemon off;'],
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
        ExposedPorts: { '80/tcp': {} },
        StopSignal: 'SIGQUIT',
      },
    ),
  )
