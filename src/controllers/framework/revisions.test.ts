import { expect, test } from 'vitest'
import type { ControllerRevision } from '../../api/apps/controller-revision.ts'
import type { PodTemplateSpec } from '../../api/core/pod-template.ts'
import { revisionData, revisionTemplate } from './revisions.ts'

const template = {
  metadata: { labels: { b: '1', a: '2' } },
  spec: {
    containers: [{ name: 'c', image: 'x:1', ports: [{ protocol: 'TCP', containerPort: 80 }] }],
    activeDeadlineSeconds: undefined,
  },
} as unknown as PodTemplateSpec

test('the bytes of a revision are those that Go writes for the same template', () => {
  expect(JSON.stringify(revisionData(template))).toBe(
    '{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"2","b":"1"}},"spec":{"containers":[{"image":"x:1","name":"c","ports":[{"containerPort":80,"protocol":"TCP"}]}]}}}}',
  )
})
test('the template comes back out of them', () => {
  const revision = { data: revisionData(template) } as unknown as ControllerRevision
  expect(revisionTemplate(revision)).toEqual(template)
})
