import { expect, it } from 'vitest'
import { testServer } from './testing/server.ts'

const path = '/api/v1/componentstatuses'
const asTable = { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } }
const deprecated = '299 - "v1 ComponentStatus is deprecated in v1.19+"'

it('tells of the parts that run here, with a warning', async () => {
  const { call } = await testServer({ components: new Set(['scheduler'] as const) })
  const list = await call('GET', path)
  expect(list.headers['warning']).toBe(deprecated)
  const condition = (status: string, message: string) => [{ type: 'Healthy', status, message }]
  expect(list.json).toMatchObject({
    kind: 'ComponentStatusList',
    items: [
      { metadata: { name: 'scheduler' }, conditions: condition('True', 'ok') },
      {
        metadata: { name: 'controller-manager' },
        conditions: condition('False', 'no controller-manager runs in this process'),
      },
      { metadata: { name: 'etcd-0' }, conditions: condition('True', 'ok') },
    ],
  })
  const { json } = await call('GET', `${path}/etcd-0`, undefined, asTable)
  expect(json['rows']).toMatchObject([{ cells: ['etcd-0', 'Healthy', 'ok', ''] }])
  expect((await call('GET', `${path}/x`)).json['message']).toBe('componentstatuses "x" not found')
})

it('prints a scale as what it is', async () => {
  const { call } = await testServer()
  const deployments = '/apis/apps/v1/namespaces/default/deployments'
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }
  const spec = { replicas: 3, selector: { matchLabels: { a: 'b' } }, template }
  expect((await call('POST', deployments, { metadata: { name: 'd' }, spec })).status).toBe(201)
  const { json } = await call('GET', `${deployments}/d/scale`, undefined, asTable)
  expect(json).toMatchObject({
    kind: 'Table',
    columnDefinitions: [{ name: 'Name' }, { name: 'Desired' }, { name: 'Available' }, { name: 'Age' }],
    rows: [{ cells: ['d', 3, 0, '0s'] }],
  })
})

it('counts a kind among all once, whatever groups show it', async () => {
  const { call } = await testServer()
  const categories = async (version: string) => {
    const { json } = await call('GET', `/apis/${version}`)
    const resources = json['resources'] as unknown as { name: string; categories?: string[] }[]
    return resources.find(({ name }) => name === 'deployments')?.categories
  }
  expect(await categories('apps/v1')).toEqual(['all'])
  expect(await categories('extensions/v1beta1')).toBeUndefined()
})
