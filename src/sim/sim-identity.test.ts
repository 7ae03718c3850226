import { expect, test } from 'vitest'
import { simIdentity, simulatedRequest } from './sim-identity.ts'

const claims = { iss: 'i', sub: 'system:serviceaccount:d:ä', aud: ['a'], exp: 2, iat: 1, nbf: 1 }

test('a token is known by the cluster that signed it, unchanged', async () => {
  const { tokens } = simIdentity(1)
  const token = await tokens.sign(claims)
  expect(token).toBe(await simIdentity(1).tokens.sign(claims))
  expect(await tokens.verify(token)).toEqual(claims)
  expect(await simIdentity(2).tokens.verify(token)).toBeUndefined()
  expect(await tokens.verify(`${token}0`)).toBeUndefined()
  expect(await tokens.verify('nonsense')).toBeUndefined()
})

test('a request is read back and signed', async () => {
  const { ca } = simIdentity(1)
  const subject = {
    commonName: 'me',
    organizations: ['us'],
    dnsNames: [],
    ipAddresses: [],
    emailAddresses: [],
    uris: [],
  }
  const csrPem = simulatedRequest(subject)
  expect(await ca.inspect(csrPem)).toEqual(subject)
  expect(await ca.sign({ csrPem, notBeforeMs: 0, notAfterMs: 1, usages: ['client auth'] })).toContain(
    'BEGIN CERTIFICATE',
  )
  await expect(ca.inspect('junk')).rejects.toThrow('not a simulated certificate request')
})
