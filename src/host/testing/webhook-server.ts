// A webhook for tests: a TLS server on loopback that answers reviews with what a function says.
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { loopbackCert, loopbackKey } from './loopback-cert.ts'

export interface WebhookServer {
  readonly url: string
  readonly port: number
  /** base64, as clientConfig wants it. */
  readonly caBundle: string
  /** Every review that came, oldest first, with the path it came to. */
  readonly reviews: { readonly path: string; readonly body: Review }[]
  /** Resolves when a request has arrived and waits for its answer. */
  arrived(): Promise<void>
  close(): Promise<void>
}
export interface Review {
  readonly kind: string
  readonly apiVersion: string
  readonly request: Readonly<Record<string, unknown>> & { readonly uid: string }
}
/** The body of the answer; undefined never answers. */
export type Answer = (review: Review, path: string) => unknown

export async function webhookServer(answer: Answer): Promise<WebhookServer> {
  const reviews: WebhookServer['reviews'] = []
  let waiting: (() => void)[] = []
  const server = https.createServer({ cert: loopbackCert, key: loopbackKey }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Review
      const path = request.url ?? ''
      reviews.push({ path, body })
      for (const done of waiting) done()
      waiting = []
      const said = answer(body, path)
      if (said === undefined) return
      response.setHeader('content-type', 'application/json')
      response.end(typeof said === 'string' ? said : JSON.stringify(said))
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    caBundle: Buffer.from(loopbackCert).toString('base64'),
    reviews,
    arrived: () => new Promise((done) => waiting.push(done)),
    close() {
      server.closeAllConnections()
      return new Promise((done) => server.close(() => done()))
    },
  }
}

/** An AdmissionReview in answer to one. */
export const reviewed = ({ apiVersion, request }: Review, response: object): object => ({
  kind: 'AdmissionReview',
  apiVersion,
  response: { uid: request.uid, ...response },
})
