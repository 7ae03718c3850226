import { afterEach, describe, expect, it } from 'vitest'
import {
  type CertificateSigningRequest,
  certificateSigningRequests as csrKind,
} from '../api/certificates/certificate-signing-request.ts'
import type { RequestedSubject } from '../ports/identity.ts'
import {
  clientSigner,
  csrApprovingController,
  csrCleaner,
  csrExpiryMs,
  csrSigningController,
  kubeletClientSigner,
  kubeletServingSigner,
  signerFault,
} from './certificate-signing.ts'
import { fakeIdentity, type TestCluster, testCluster } from './testing/cluster.ts'

let cluster: TestCluster | undefined
afterEach(async () => {
  await cluster?.stop()
  cluster = undefined
})
const start = async () => {
  cluster = await testCluster([csrApprovingController, csrSigningController, csrCleaner], {
    settings: { ca: fakeIdentity.ca },
  })
  return cluster
}
const node: RequestedSubject = {
  commonName: 'system:node:n1',
  organizations: ['system:nodes'],
  dnsNames: [],
  ipAddresses: [],
  emailAddresses: [],
  uris: [],
}
/** What the fake authority reads as a request. */
const pem = (subject: RequestedSubject) =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${JSON.stringify(subject)}\n-----END CERTIFICATE REQUEST-----\n`
const request = (signerName: string, usages: readonly string[], subject = node) => ({
  metadata: { name: 'r' },
  spec: { request: btoa(pem(subject)), signerName, usages },
})
const clientUsages = ['digital signature', 'key encipherment', 'client auth']
const conditionsOf = (csr: CertificateSigningRequest) =>
  (csr.status.conditions ?? []).map((c) => `${c.type} ${c.reason}`)

describe('certificate signing requests', () => {
  it('a kubelet gets its client certificate by itself', async () => {
    const { client, advance } = await start()
    await client.resource(csrKind).create(request(kubeletClientSigner, clientUsages) as never)
    await advance()
    const csr = await client.resource(csrKind).get('r')
    expect(conditionsOf(csr)).toEqual(['Approved AutoApproved'])
    expect(csr.status.conditions?.[0]?.message).toBe(
      'Auto approving kubelet client certificate after SubjectAccessReview.',
    )
    expect(atob(csr.status.certificate ?? '')).toMatch(
      /^signed .* for digital signature\+key encipherment\+client auth$/s,
    )
    await advance(3_500_000)
    expect(await client.resource(csrKind).find('r')).toBeDefined()
    await advance(200_000)
    expect(await client.resource(csrKind).find('r')).toBeUndefined()
  })
  it('others wait for approval, and a request that breaks the rules of its signer fails', async () => {
    const { client, advance } = await start()
    await client.resource(csrKind).create(request(kubeletServingSigner, ['digital signature', 'server auth']) as never)
    await advance(60_000)
    const pending = await client.resource(csrKind).get('r')
    expect(conditionsOf(pending)).toEqual([])
    const approved = { type: 'Approved', status: 'True', reason: 'Admin', message: 'ok' }
    await client
      .resource(csrKind)
      .update({ ...pending, status: { conditions: [approved] } } as never, { subresource: 'approval' })
    await advance()
    const failed = await client.resource(csrKind).get('r')
    expect(conditionsOf(failed)).toEqual(['Approved Admin', 'Failed SignerValidationFailure'])
    expect(failed.status.certificate).toBeUndefined()
  })
  it('a request that nobody decides goes after a day', async () => {
    const { client, advance } = await start()
    await client.resource(csrKind).create(request(clientSigner, ['client auth']) as never)
    await advance(86_300_000)
    expect(await client.resource(csrKind).find('r')).toBeDefined()
    await advance(200_000)
    expect(await client.resource(csrKind).find('r')).toBeUndefined()
  })
})

describe('signerFault', () => {
  const serving = ['digital signature', 'server auth']
  it.each([
    [clientSigner, node, clientUsages, true],
    [clientSigner, node, ['client auth'], true],
    [clientSigner, node, ['digital signature'], false],
    [clientSigner, node, ['client auth', 'server auth'], false],
    [kubeletClientSigner, node, clientUsages, true],
    [kubeletClientSigner, { ...node, commonName: 'eve' }, clientUsages, false],
    [kubeletClientSigner, { ...node, organizations: ['system:masters'] }, clientUsages, false],
    [kubeletClientSigner, { ...node, dnsNames: ['x'] }, clientUsages, false],
    [kubeletServingSigner, node, serving, false],
    [kubeletServingSigner, { ...node, ipAddresses: ['10.0.0.1'] }, serving, true],
    [kubeletServingSigner, { ...node, dnsNames: ['n1'] }, clientUsages, false],
    [kubeletServingSigner, { ...node, dnsNames: ['n1'], uris: ['x'] }, serving, false],
    ['kubernetes.io/legacy-unknown', { ...node, organizations: [] }, ['any'], true],
  ] as const)('%s %#', (signer, subject, usages, fine) => {
    expect(signerFault(signer, subject, usages) === undefined).toBe(fine)
  })
  it('csrExpiryMs', () => {
    const csr = (conditions: object[]) =>
      ({
        metadata: { creationTimestamp: '1970-01-01T00:00:00Z' },
        status: { conditions },
      }) as unknown as CertificateSigningRequest
    expect(csrExpiryMs(csr([]))).toBe(86_400_000)
    expect(csrExpiryMs(csr([{ type: 'Denied', lastUpdateTime: '1970-01-01T00:00:10Z' }]))).toBe(3_610_000)
  })
})
