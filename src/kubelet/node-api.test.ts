import { expect, it } from 'vitest'
import { testNode } from './testing/test-node.ts'

it('lets nobody look into containers where the configuration says so', async () => {
  const node = await testNode({ debuggingHandlers: false })
  await node.create('p', {})
  await node.advance()
  const { api } = node.kubelet
  const target = { namespace: 'default', pod: 'p', container: 'c' }
  const { signal } = new AbortController()
  for (const asked of [
    api.containerLogs(target, {}, signal),
    api.attach(target, { stdin: false, stdout: true, stderr: true, tty: false }),
    api.portForward('default', 'p', 80),
  ])
    await expect(asked).rejects.toMatchObject({ reason: 'MethodNotAllowed', message: 'Debug endpoints are disabled.' })
  await node.stop()
})
