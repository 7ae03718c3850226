// Which ports programs of this machine wait on, read from the kernel's own tables.
/** Runs in the network namespace that is meant. */
export const listeningScript = 'for f in tcp tcp6 udp udp6; do echo "= $f"; cat /proc/net/$f 2>/dev/null || true; done'
/** States of sockets that wait for whoever comes: TCP in LISTEN, UDP without a peer. */
const waits: Readonly<Record<string, string>> = { tcp: '0A', tcp6: '0A', udp: '07', udp6: '07' }

/** Reads what the script prints: "TCP/22", "UDP/53" ... */
export function listeningPorts(text: string): ReadonlySet<string> {
  const ports = new Set<string>()
  let table = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('= ')) table = line.slice(2)
    const [, port, state] = /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /.exec(line) ?? []
    if (port !== undefined && state === waits[table])
      ports.add(`${table.slice(0, 3).toUpperCase()}/${Number.parseInt(port, 16)}`)
  }
  return ports
}
