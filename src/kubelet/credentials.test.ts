import { describe, expect, it } from 'vitest'
import { credentialsFor } from './credentials.ts'

const secret = (auths: Record<string, object>) => ({ data: { '.dockerconfigjson': btoa(JSON.stringify({ auths })) } })
const user = (name: string) => ({ username: name, password: 'pw' })

describe('credentialsFor', () => {
  it.each([
    ['quay.io/me/app:1', { 'quay.io': user('a') }, ['a']],
    ['quay.io/me/app:1', { 'other.io': user('a') }, []],
    ['quay.io/me/app:1', { 'quay.io/me': user('a'), 'quay.io': user('b') }, ['a', 'b']],
    ['quay.io/you/app:1', { 'quay.io/me': user('a') }, []],
    ['nginx', { 'https://index.docker.io/v1/': user('hub') }, ['hub']],
    ['localhost:5000/app', { 'localhost:5000': user('a'), localhost: user('b') }, ['a']],
    ['a.example.com/app', { '*.example.com': user('star') }, ['star']],
    ['a.b.example.com/app', { '*.example.com': user('star') }, []],
  ])('%s with %j', (image, auths, users) => {
    expect(credentialsFor(image, [secret(auths)]).map((c) => c.auth.username)).toEqual(users)
  })
  it('reads the encoded pair, and survives what is not JSON', () => {
    expect(credentialsFor('q.io/a', [secret({ 'q.io': { auth: btoa('me:s:3') } })]).map((c) => c.auth)).toEqual([
      { username: 'me', password: 's:3' },
    ])
    expect(credentialsFor('q.io/a', [{ data: { '.dockerconfigjson': btoa('{') } }, {}])).toEqual([])
  })
})
