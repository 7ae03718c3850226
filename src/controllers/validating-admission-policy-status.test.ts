import { expect, it } from 'vitest'
import type { ValidatingAdmissionPolicy } from '../api/admissionregistration/policies.ts'
import { deployments } from '../api/apps/deployment.ts'
import { planWarnings } from './validating-admission-policy-status.ts'

const { group, version, plural, kind, schema } = deployments
const all = [{ group, version, plural, kind, schema }]
const policy = (spec: object, resources = ['deployments']) =>
  ({
    metadata: { name: 'p' },
    spec: { matchConstraints: { resourceRules: [{ apiGroups: ['apps'], apiVersions: ['v1'], resources }] }, ...spec },
  }) as unknown as ValidatingAdmissionPolicy

it.each([
  [{ validations: [{ expression: 'object.spec.replicas > 1' }] }, []],
  [
    { validations: [{ expression: "object.spec.replicas > '1'", messageExpression: "'got ' + object.spec.replicas" }] },
    [
      ['spec.validations[0].expression', "found no matching overload for '_>_' applied to '(int, string)'"],
      ['spec.validations[0].messageExpression', "found no matching overload for '_+_' applied to '(string, int)'"],
    ],
  ],
  [{ validations: [{ expression: 'object.foo > 1' }] }, [['spec.validations[0].expression', "undefined field 'foo'"]]],
  [
    {
      variables: [{ name: 'r', expression: 'object.spec.replicas' }],
      validations: [{ expression: "variables.r > 'a'" }],
    },
    [['spec.validations[0].expression', "applied to '(int, string)'"]],
  ],
])('%j is checked against the kind that it names', (spec, expected) => {
  const warnings = planWarnings(policy(spec), all)
  expect(warnings.map(({ fieldRef }) => fieldRef)).toEqual(expected.map(([field]) => field))
  for (const [i, [, text]] of expected.entries()) {
    expect(warnings[i]?.warning).toContain('apps/v1, Kind=Deployment: ERROR: <input>:1:')
    expect(warnings[i]?.warning).toContain(text)
  }
  expect(planWarnings(policy(spec, ['*']), all)).toEqual([])
})
