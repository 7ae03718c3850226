import { describe, expect, it } from 'vitest'
import { admitted, updateErrors } from '../core/testing/admitted.ts'
import { validateStatusUpdate } from '../machinery/validate.ts'
import {
  deviceClasses,
  type ResourceClaim,
  resourceClaims,
  resourceClaimTemplates,
  resourceSlices,
} from './resource.ts'

const flow = (value: unknown): string => JSON.stringify(value)
const claimWith = (devices: object) =>
  admitted(resourceClaims, flow({ metadata: { name: 'c', namespace: 'd' }, spec: { devices } }))
const exactly = (more: object = {}) => ({ deviceClassName: 'gpu', ...more })
const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))
const cel = (expression: string) => ({ selectors: [{ cel: { expression } }] })
const at = 'spec.devices.requests[0]'

describe('what a claim asks for', () => {
  const one = (more: object = {}, name = 'r') => ({ requests: [{ name, exactly: exactly(more) }] })
  it.each<[string, object, readonly string[]]>([
    ['nothing', {}, []],
    ['a device', one(), []],
    [
      'too many requests',
      { requests: many(33, (i) => ({ name: `r${i}`, exactly: exactly() })) },
      ['spec.devices.requests: Too many: 33: must have at most 32 items'],
    ],
    [
      'the same name twice',
      {
        requests: [
          { name: 'r', exactly: exactly() },
          { name: 'r', exactly: exactly() },
        ],
      },
      ['spec.devices.requests[1].name: Duplicate value: "r"'],
    ],
    [
      'neither form',
      { requests: [{ name: 'r' }] },
      [`${at}: Required value: exactly one of \`exactly\` or \`firstAvailable\` is required`],
    ],
    [
      'both forms',
      { requests: [{ name: 'r', exactly: exactly(), firstAvailable: [{ name: 's', ...exactly() }] }] },
      [
        `${at}: Invalid value: null: exactly one of \`exactly\` or \`firstAvailable\` is required, but multiple fields are set`,
      ],
    ],
    ['no class', one({ deviceClassName: '' }), [`${at}.exactly.deviceClassName: Required value`]],
    ['no device', one({ count: 0 }), [`${at}.exactly.count: Invalid value: 0: must be greater than zero`]],
    [
      'all, and a count',
      one({ allocationMode: 'All', count: 2 }),
      [`${at}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'`],
    ],
    [
      'an unknown mode',
      one({ allocationMode: 'Some' }),
      [`${at}.exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"`],
    ],
    ['an expression', one(cel('device.driver == "a" && device.attributes["a"].x.isGreaterThan(semver("1.0.0"))')), []],
    ['no expression', one({ selectors: [{}] }), [`${at}.exactly.selectors[0].cel: Required value`]],
    [
      'an expression that is none',
      one(cel('device.driver ==')),
      [
        expect.stringMatching(
          /^spec\.devices\.requests\[0\]\.exactly\.selectors\[0\]\.cel\.expression: Invalid value: "device\.driver ==": compilation failed: /,
        ) as never,
      ],
    ],
    [
      'an expression that answers no truth',
      one(cel('device.driver')),
      [
        `${at}.exactly.selectors[0].cel.expression: Invalid value: "device.driver": compilation failed: must evaluate to bool`,
      ],
    ],
    [
      'a long expression',
      one(cel(`device.driver == "${'x'.repeat(10_240)}"`)),
      [`${at}.exactly.selectors[0].cel.expression: Too long: may not be more than 10240 bytes`],
    ],
    [
      'tolerations',
      one({
        tolerations: [
          { operator: 'Exists' },
          { key: 'a', value: 'b' },
          { operator: 'Exists', value: 'b' },
          { operator: 'Equal' },
          { key: 'a', operator: 'Like' },
          { key: 'a', operator: 'Exists', effect: 'PreferNoSchedule' },
          { key: '-', operator: 'Exists' },
        ],
      }),
      [
        `${at}.exactly.tolerations[2].value: Invalid value: "b": must be empty for operator \`Exists\``,
        `${at}.exactly.tolerations[3].key: Required value: must not be empty for operator \`Equal\``,
        `${at}.exactly.tolerations[4].operator: Unsupported value: "Like": supported values: "Equal", "Exists"`,
        `${at}.exactly.tolerations[5].effect: Unsupported value: "PreferNoSchedule": supported values: "NoExecute", "NoSchedule", "None"`,
        expect.stringMatching(/tolerations\[6\]\.key: Invalid value: "-": name part must consist of/) as never,
      ],
    ],
    [
      'too many tolerations',
      one({ tolerations: many(17, () => ({ operator: 'Exists' })) }),
      [`${at}.exactly.tolerations: Too many: 17: must have at most 16 items`],
    ],
    [
      'a capacity of no name',
      one({ capacity: { requests: { 'a/': '1', 'gpu.example.com/memory': '2Gi' } } }),
      [`${at}.exactly.capacity.requests[a/]: Invalid value: "": the name must not be empty`],
    ],
    [
      'too many alternatives, two of one name',
      {
        requests: [{ name: 'r', firstAvailable: many(9, (i) => ({ name: `s${Math.max(i, 1)}`, ...exactly() })) }],
      },
      [
        `${at}.firstAvailable: Too many: 9: must have at most 8 items`,
        `${at}.firstAvailable[1].name: Duplicate value: "s1"`,
      ],
    ],
    [
      'constraints',
      {
        requests: [{ name: 'r', firstAvailable: [{ name: 's', ...exactly() }] }],
        constraints: [
          { requests: ['r', 'r/s'], matchAttribute: 'a.com/x' },
          { requests: ['x', 'r', 'r'], distinctAttribute: 'x' },
          {},
          { matchAttribute: 'a.com/1', distinctAttribute: 'a.com/x' },
        ],
      },
      [
        'spec.devices.constraints[1].requests[0]: Invalid value: "x": must be the name of a request in the claim or the name of a request and a subrequest separated by \'/\'',
        'spec.devices.constraints[1].requests[2]: Duplicate value: "r"',
        'spec.devices.constraints[1].distinctAttribute: Invalid value: "x": must include a domain',
        'spec.devices.constraints[2]: Required value: exactly one of `matchAttribute`, `distinctAttribute` is required',
        'spec.devices.constraints[3]: Invalid value: null: exactly one of `matchAttribute`, `distinctAttribute` is required, but multiple fields are set',
        expect.stringMatching(
          /constraints\[3\]\.matchAttribute: Invalid value: "1": a valid C identifier must start with/,
        ) as never,
      ],
    ],
    [
      'configuration',
      {
        requests: [{ name: 'r', exactly: exactly() }],
        config: [
          { opaque: { driver: 'a.com', parameters: { a: 1 } } },
          { requests: ['x'] },
          { opaque: { driver: 'a_b' } },
          { opaque: { driver: 'a.com', parameters: { a: 'x'.repeat(10_240) } } },
        ],
      },
      [
        'spec.devices.config[1].requests[0]: Invalid value: "x": must be the name of a request in the claim or the name of a request and a subrequest separated by \'/\'',
        'spec.devices.config[1].opaque: Required value',
        expect.stringMatching(
          /config\[2\]\.opaque\.driver: Invalid value: "a_b": a lowercase RFC 1123 subdomain/,
        ) as never,
        'spec.devices.config[2].opaque.parameters: Required value',
        'spec.devices.config[3].opaque.parameters: Too long: may not be more than 10240 bytes',
      ],
    ],
  ])('%s', (_name, devices, errors) => {
    expect(claimWith(devices).errors).toEqual(errors)
  })
  it('cannot be changed; a template says the same, and carries labels and annotations alone', () => {
    const claim = claimWith(one()).object
    const [error] = updateErrors(resourceClaims, claim, (draft) => (draft.spec.devices.requests = []))
    expect(error).toMatch(/^spec: Invalid value: .*field is immutable$/)
    const template = (metadata: object, devices: object) =>
      admitted(
        resourceClaimTemplates,
        flow({ metadata: { name: 't', namespace: 'd' }, spec: { metadata, spec: { devices } } }),
      )
    expect(template({ labels: { a: 'b' } }, one()).errors).toEqual([])
    expect(template({ name: 'x' }, one({ count: 0 })).errors).toEqual([
      'spec.metadata.name: Forbidden: cannot be set for a resource claim template',
      'spec.spec.devices.requests[0].exactly.count: Invalid value: 0: must be greater than zero',
    ])
  })
})

describe('what the status of a claim says', () => {
  const spec = { requests: [{ name: 'r', exactly: exactly() }] }
  const result = (more: object = {}) => ({ request: 'r', driver: 'a.com', pool: 'p', device: 'd', ...more })
  const allocation = (...results: readonly object[]) => ({ devices: { results } })
  const user = (uid: string) => ({ resource: 'pods', name: 'p', uid })
  const condition = (type: string) => ({
    type,
    status: 'True',
    reason: 'R',
    message: '',
    lastTransitionTime: '2026-01-01T00:00:00Z',
  })
  const given = { allocation: allocation(result()) }
  const device = { driver: 'a.com', pool: 'p', device: 'd' }
  const check = (before: object, after: object, deleted = false) => {
    const { object } = claimWith(spec)
    const metadata = { ...object.metadata, ...(deleted ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) }
    const [old, next] = [before, after].map((status) => ({ ...object, metadata, status }) as unknown as ResourceClaim)
    return validateStatusUpdate(resourceClaims, next as never, old as never, { nowMs: 0 }).map(
      ({ field, message }) => `${field}: ${message}`,
    )
  }
  it.each<[string, object, object, readonly string[]]>([
    ['devices and users', {}, { ...given, reservedFor: [user('u')], devices: [device] }, []],
    ['given back', { ...given, reservedFor: [user('u')] }, {}, []],
    [
      'given back in use',
      { ...given, reservedFor: [user('u')] },
      { reservedFor: [user('u')] },
      ['status.reservedFor: Forbidden: may not be specified when `allocated` is not set'],
    ],
    [
      'other devices',
      given,
      { allocation: allocation(result({ device: 'e' })) },
      [expect.stringMatching(/^status\.allocation: Invalid value: .*field is immutable$/) as never],
    ],
    [
      'a wrong allocation',
      {},
      {
        allocation: {
          devices: {
            results: [result({ request: 'x', driver: '', pool: 'a//b', device: '', shareID: '1' })],
            config: [{ source: 'Nowhere', opaque: { driver: 'a.com', parameters: {} } }],
          },
          nodeSelector: { nodeSelectorTerms: [] },
        },
      },
      [
        'status.allocation.devices.results[0].request: Invalid value: "x": must be the name of a request in the claim or the name of a request and a subrequest separated by \'/\'',
        'status.allocation.devices.results[0].driver: Required value',
        expect.stringMatching(/results\[0\]\.pool: Invalid value: "": a lowercase RFC 1123 subdomain/) as never,
        'status.allocation.devices.results[0].device: Required value',
        'status.allocation.devices.results[0].shareID: Invalid value: "1": must be a lowercase UUID in 8-4-4-4-12 format',
        'status.allocation.devices.config[0].source: Unsupported value: "Nowhere": supported values: "FromClaim", "FromClass"',
        'status.allocation.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term',
      ],
    ],
    [
      'too many users, one twice, one of no name',
      {},
      {
        ...given,
        reservedFor: [...many(256, (i) => user(`u${Math.max(1, i)}`)), { ...user('v'), name: '' }],
      },
      [
        'status.reservedFor: Too many: 257: must have at most 256 items',
        'status.reservedFor[256].name: Required value',
        'status.reservedFor[1].uid: Duplicate value: "u1"',
      ],
    ],
    [
      'what a driver says',
      given,
      {
        ...given,
        devices: [
          { ...device, data: { a: 1 }, conditions: many(9, (i) => condition(`C${i}`)) },
          {
            ...device,
            device: 'e',
            data: [],
            networkData: { interfaceName: 'x'.repeat(257), ips: ['1.2.3.4', '10.0.0.1/24', '10.0.0.1/24'] },
          },
        ],
      },
      [
        'status.devices[0].conditions: Too many: 9: must have at most 8 items',
        'status.devices[1]: Invalid value: "a.com/p/e": must be an allocated device in the claim',
        'status.devices[1].data: Invalid value: "<value omitted>": must be a valid JSON object',
        'status.devices[1].networkData.interfaceName: Too long: may not be more than 256 bytes',
        expect.stringMatching(
          /networkData\.ips\[0\]: Invalid value: "1\.2\.3\.4": must be a valid CIDR value/,
        ) as never,
        'status.devices[1].networkData.ips[2]: Duplicate value: "10.0.0.1/24"',
      ],
    ],
  ])('%s', (_name, before, after, errors) => {
    expect(check(before, after)).toEqual(errors)
  })
  it('takes no new user when the claim is being deleted', () => {
    const used = { ...given, reservedFor: [user('u')] }
    expect(check(used, used, true)).toEqual([])
    expect(check(used, { ...given, reservedFor: [user('u'), user('v')] }, true)).toEqual([
      'status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set',
    ])
  })
})

describe('what a slice offers', () => {
  const slice = (spec: object) =>
    admitted(
      resourceSlices,
      flow({
        metadata: { name: 's' },
        spec: { driver: 'a.com', nodeName: 'n', pool: { name: 'p', generation: 1, resourceSliceCount: 1 }, ...spec },
      }),
    )
  const device = (more: object) => ({ devices: [{ name: 'd', ...more }] })
  const shared = (requestPolicy: object) =>
    device({ allowMultipleAllocations: true, capacity: { memory: { value: '8Gi', requestPolicy } } })
  const d = 'spec.devices[0]'
  const policy = `${d}.capacity[memory].requestPolicy`
  it.each<[string, object, readonly string[]]>([
    [
      'a device',
      device({
        attributes: { a: { string: 'x' }, 'b.com/v': { version: '1.2.3-rc.1+b' } },
        capacity: { m: { value: '1Gi' } },
      }),
      [],
    ],
    [
      'a pool of nothing',
      { pool: { name: '', generation: -1, resourceSliceCount: 0 } },
      [
        'spec.pool.name: Required value',
        'spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero',
        'spec.pool.generation: Invalid value: -1: must be greater than or equal to zero',
      ],
    ],
    [
      'two places',
      { allNodes: true },
      [
        'spec: Invalid value: null: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
      ],
    ],
    [
      'a selector of two terms',
      {
        nodeName: undefined,
        nodeSelector: { nodeSelectorTerms: many(2, () => ({ matchExpressions: [{ key: 'a', operator: 'Exists' }] })) },
      },
      [
        expect.stringMatching(
          /^spec\.nodeSelector\.nodeSelectorTerms: Invalid value: .*must have exactly one node selector term$/,
        ) as never,
      ],
    ],
    [
      'too many devices',
      { devices: many(129, (i) => ({ name: `d${i}` })) },
      ['spec.devices: Too many: 129: must have at most 128 items'],
    ],
    [
      'fewer where one has taints',
      { devices: many(65, (i) => ({ name: `d${i}`, ...(i === 3 ? { taints: [{ key: 'a', effect: 'None' }] } : {}) })) },
      ['spec.devices: Too many: 65: must have at most 64 items'],
    ],
    [
      'devices and counters',
      { ...device({}), sharedCounters: [{ name: 'c', counters: { a: { value: '1' } } }] },
      ['spec: Invalid value: null: only one of `sharedCounters` or `devices` is allowed'],
    ],
    [
      'counters',
      {
        sharedCounters: [
          { name: 'c', counters: {} },
          { name: 'c', counters: { A: { value: '1' } } },
        ],
      },
      [
        'spec.sharedCounters[0].counters: Required value',
        expect.stringMatching(/sharedCounters\[1\]\.counters: Invalid value: "A": a lowercase RFC 1123 label/) as never,
        'spec.sharedCounters[1].name: Duplicate value: "c"',
      ],
    ],
    [
      'consumed counters',
      device({ consumesCounters: many(3, () => ({ counterSet: 'c', counters: { a: { value: '1' } } })) }),
      [
        `${d}.consumesCounters: Too many: 3: must have at most 2 items`,
        `${d}.consumesCounters[1].counterSet: Duplicate value: "c"`,
        `${d}.consumesCounters[2].counterSet: Duplicate value: "c"`,
      ],
    ],
    [
      'attributes',
      device({
        attributes: {
          a: {},
          b: { int: 1, bool: true },
          c: { string: 'x'.repeat(65) },
          v: { version: '1.2' },
          '1': { int: 1 },
        },
      }),
      [
        expect.stringMatching(/attributes: Invalid value: "1": a valid C identifier/) as never,
        `${d}.attributes[a]: Required value: exactly one value must be specified`,
        `${d}.attributes[b]: Invalid value: {"int":1,"bool":true}: exactly one value must be specified`,
        `${d}.attributes[c].string: Too long: may not be more than 64 bytes`,
        `${d}.attributes[v].version: Invalid value: "1.2": must be a string compatible with semver.org spec 2.0.0`,
      ],
    ],
    [
      'too many of them',
      device({
        attributes: Object.fromEntries(many(20, (i) => [`a${i}`, { int: i }])),
        capacity: Object.fromEntries(many(13, (i) => [`c${i}`, { value: '1' }])),
      }),
      [`${d}: Invalid value: 33: the total number of attributes and capacities must not exceed 32`],
    ],
    [
      'taints',
      device({
        taints: [
          { key: 'a', effect: '' },
          { key: '', effect: 'PreferNoSchedule', value: '-' },
        ],
      }),
      [
        `${d}.taints[0].effect: Required value`,
        `${d}.taints[1].key: Required value`,
        expect.stringMatching(/taints\[1\]\.value: Invalid value: "-": a valid label must be/) as never,
        `${d}.taints[1].effect: Unsupported value: "PreferNoSchedule": supported values: "NoExecute", "NoSchedule", "None"`,
      ],
    ],
    [
      'a place of its own',
      device({ nodeName: 'n' }),
      [`${d}.nodeName: Forbidden: \`nodeName\` can only be set if \`perDeviceNodeSelection\` is \`true\``],
    ],
    [
      'no place where each has one',
      { nodeName: undefined, perDeviceNodeSelection: true, ...device({}) },
      [`${d}: Required value: exactly one of \`nodeName\`, \`nodeSelector\`, \`allNodes\` is required`],
    ],
    [
      'conditions',
      device({ bindingConditions: ['a', 'a', 'x y', 'b', 'c'], bindingFailureConditions: ['b'] }),
      [
        `${d}.bindingConditions: Too many: 5: must have at most 4 items`,
        expect.stringMatching(/bindingConditions\[2\]: Invalid value: "x y": name part must consist of/) as never,
        `${d}.bindingConditions[1]: Duplicate value: "a"`,
        `${d}.bindingFailureConditions[0]: Invalid value: "b": bindingFailureConditions must not overlap with bindingConditions`,
      ],
    ],
    [
      'a policy of a device that nobody shares',
      device({ capacity: { memory: { value: '8Gi', requestPolicy: { default: '1Gi' } } } }),
      [`${policy}: Forbidden: allowMultipleAllocations must be true`],
    ],
    ['values', shared({ default: '1Gi', validValues: ['1Gi', '2Gi', '8Gi'] }), []],
    [
      'values out of order, too large, without the default',
      shared({ default: '3Gi', validValues: ['2Gi', '1Gi', '16Gi'] }),
      [
        `${policy}.validValues[2]: Invalid value: "16Gi": option is larger than capacity value: 8Gi`,
        `${policy}.validValues[1]: Invalid value: "1Gi": values must be sorted in ascending order`,
        `${policy}.default: Invalid value: "3Gi": default value is not valid according to the requestPolicy`,
      ],
    ],
    ['a range', shared({ default: '2Gi', validRange: { min: '1Gi', max: '4Gi', step: '1Gi' } }), []],
    [
      'a range that does not fit',
      shared({ validRange: { min: '5Gi', max: '4Gi', step: '3Gi' } }),
      [
        `${policy}.default: Required value: required when validValues or validRange is defined`,
        `${policy}.validRange.max: Invalid value: "4Gi": min is larger than max: 5Gi`,
        `${policy}.validRange.max: Invalid value: "4Gi": value is not a multiple of a given step (3Gi)`,
      ],
    ],
    [
      'both',
      shared({ default: '1Gi', validValues: ['1Gi'], validRange: { min: '1Gi' } }),
      [
        `${policy}: Forbidden: exactly one policy can be specified, cannot specify \`validValues\` and \`validRange\` at the same time`,
      ],
    ],
    [
      'mappings to the node',
      device({
        capacity: { m: { value: '1Gi' } },
        nodeAllocatableResourceMappings: { memory: { capacityKey: 'x' }, 'a.com/gpu': { capacityKey: 'm' } },
      }),
      [
        `${d}.nodeAllocatableResourceMappings[memory].capacityKey: Not found: "x"`,
        `${d}.nodeAllocatableResourceMappings[a.com/gpu]: Invalid value: "a.com/gpu": must not be an extended resource`,
      ],
    ],
  ])('%s', (_name, spec, errors) => {
    expect(slice(spec).errors).toEqual(errors)
  })
  it('keeps its driver, its node and its pool; taints are dated', () => {
    const { object } = slice(device({ taints: [{ key: 'a', effect: 'None' }] }))
    expect(object.spec.devices?.[0]?.taints?.[0]?.timeAdded).toMatch(/^2026-01-02T/)
    expect(
      updateErrors(resourceSlices, object, (draft) => {
        draft.spec.driver = 'b.com'
        draft.spec.nodeName = 'm'
        draft.spec.pool.name = 'q'
      }),
    ).toEqual([
      'spec.driver: Invalid value: "b.com": field is immutable',
      'spec.nodeName: Invalid value: "m": field is immutable',
      'spec.pool.name: Invalid value: "q": field is immutable',
    ])
  })
})

describe('what a class says', () => {
  const made = (spec: object) => admitted(deviceClasses, flow({ metadata: { name: 'c' }, spec }))
  it('selectors compile, configuration is whole, the extended resource has a name of one', () => {
    expect(made({ ...cel('true'), extendedResourceName: 'example.com/gpu' }).errors).toEqual([])
    expect(made({ ...cel('device.nothing'), config: [{}], extendedResourceName: 'cpu' }).errors).toEqual([
      expect.stringMatching(
        /^spec\.selectors\[0\]\.cel\.expression: Invalid value: "device\.nothing": compilation failed: /,
      ),
      'spec.config[0].opaque: Required value',
      'spec.extendedResourceName: Invalid value: "cpu": doesn\'t follow extended resource name standard',
    ])
  })
  it('leaves alone what is stored', () => {
    const { object } = made(cel('device.nothing'))
    expect(updateErrors(deviceClasses, object, (draft) => (draft.metadata.labels = { a: 'b' }))).toEqual([])
  })
})
