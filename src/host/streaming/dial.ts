// Leaves HTTP towards a server that we call: the streaming addresses that a container runtime hands out.
import http from 'node:http'
import type { ByteStream } from '../../ports/transport.ts'
import { byteStreamOf } from './byte-stream.ts'
import { spdyUpgradeHeaders } from './client.ts'

/** POSTs to `url` and leaves for SPDY/3.1 under `protocol`. Rejects with the server's words when it declines. */
export function dialSpdy(url: string, protocol: string): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: 'POST', headers: spdyUpgradeHeaders(protocol), agent: false })
    request.on('upgrade', (_, socket, head) => resolve(byteStreamOf(socket, head)))
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => reject(new Error(Buffer.concat(chunks).toString('utf8').trim())))
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end()
  })
}
