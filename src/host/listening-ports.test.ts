import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { listeningPorts, listeningScript } from './listening-ports.ts'
import { createShell } from './shell.ts'

test('who listens is found, and who has connected is not', async () => {
  const shell = createShell(1)
  const server = createServer().listen(0, '127.0.0.1')
  const udp = createSocket('udp6').bind(0)
  await Promise.all([once(server, 'listening'), once(udp, 'listening')])
  const { port } = server.address() as AddressInfo
  const client = connect(port, '127.0.0.1')
  try {
    await once(client, 'connect')
    const found = listeningPorts(await shell.run('sh', ['-c', listeningScript]))
    expect(found.has(`TCP/${port}`)).toBe(true)
    expect(found.has(`UDP/${udp.address().port}`)).toBe(true)
    expect(found.has(`TCP/${client.localPort ?? 0}`)).toBe(false)
    expect(found.has(`UDP/${port}`)).toBe(false)
  } finally {
    client.destroy()
    server.close()
    udp.close()
    shell.close()
  }
})
