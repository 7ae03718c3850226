// A port for a program that a test starts. It lies below the range that the kernel takes ports of outgoing connections
// from: one of those would have it before the program does, or while the program is down for a moment.
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** A TCP port of 127.0.0.1 that nobody has now. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 30_000)
    const server = createServer()
    const free = await new Promise<boolean>((answer) => {
      server.once('error', () => answer(false))
      server.listen(port, '127.0.0.1', () => answer(true))
    })
    if (!free) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
