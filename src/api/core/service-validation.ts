// Rules of Services.
import {
  duplicateField,
  type FieldError,
  forbiddenField,
  invalidField,
  notSupportedField,
  requiredField,
} from '../machinery/errors.ts'
import {
  cidrContains,
  isDns1123Label,
  isDns1123Subdomain,
  isInRange,
  isQualifiedName,
  isValidPortNumber,
  parseCidr,
  parseIp,
  validateLabels,
  validatePortNumberOrName,
} from '../machinery/validation.ts'
import { shown } from './selector-validation.ts'
import type { Service, ServicePort, ServiceSpec } from './service.ts'

const validIp = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'
const specialRanges: readonly (readonly [readonly string[], string])[] = [
  [['127.0.0.0/8', '::1/128'], 'may not be in the loopback range (127.0.0.0/8, ::1/128)'],
  [['169.254.0.0/16', 'fe80::/10'], 'may not be in the link-local range (169.254.0.0/16, fe80::/10)'],
  [['224.0.0.0/24', 'ff02::/10'], 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'],
]
/** An address that traffic can be sent to from elsewhere. */
export function validateNonSpecialIp(ip: string, path: string): FieldError[] {
  const parsed = parseIp(ip)
  if (parsed === undefined) return [invalidField(path, ip, validIp)]
  const errors: FieldError[] = []
  if (parsed.value === 0n) errors.push(invalidField(path, ip, `may not be unspecified (${ip})`))
  for (const [ranges, message] of specialRanges) {
    if (ranges.some((range) => range === `${ip}/128` || cidrContains(range, ip)))
      errors.push(invalidField(path, ip, message))
  }
  return errors
}

const serviceTypes = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']
const protocols = ['SCTP', 'TCP', 'UDP']

function validatePort(port: ServicePort, several: boolean, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (!port.name) {
    if (several) errors.push(requiredField(`${path}.name`))
  } else for (const message of isDns1123Label(port.name)) errors.push(invalidField(`${path}.name`, port.name, message))
  for (const message of isValidPortNumber(port.port)) errors.push(invalidField(`${path}.port`, port.port, message))
  if (!protocols.includes(port.protocol)) errors.push(notSupportedField(`${path}.protocol`, port.protocol, protocols))
  if (port.targetPort !== undefined) errors.push(...validatePortNumberOrName(port.targetPort, `${path}.targetPort`))
  if (port.appProtocol !== undefined) {
    for (const message of isQualifiedName(port.appProtocol)) {
      errors.push(invalidField(`${path}.appProtocol`, port.appProtocol, message))
    }
  }
  return errors
}
function validatePorts(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = []
  const { ports = [] } = spec
  if (ports.length === 0 && spec.clusterIP !== 'None' && spec.type !== 'ExternalName') {
    errors.push(requiredField('spec.ports'))
  }
  const names = new Set<string>()
  const numbers = new Set<string>()
  const nodePorts = new Set<string>()
  ports.forEach((port, i) => {
    const at = `spec.ports[${i}]`
    errors.push(...validatePort(port, ports.length > 1, at))
    if (port.name) {
      if (names.has(port.name)) errors.push(duplicateField(`${at}.name`, port.name))
      names.add(port.name)
    }
    const number = `${port.protocol} ${port.port}`
    if (numbers.has(number)) errors.push(duplicateField(at, shown({ protocol: port.protocol, port: port.port })))
    numbers.add(number)
    if (!port.nodePort) return
    if (spec.type === 'ClusterIP' || spec.type === 'ExternalName') {
      errors.push(forbiddenField(`${at}.nodePort`, `may not be used when \`type\` is '${spec.type}'`))
    }
    const nodePort = `${port.protocol} ${port.nodePort}`
    if (nodePorts.has(nodePort)) errors.push(duplicateField(`${at}.nodePort`, port.nodePort))
    nodePorts.add(nodePort)
  })
  return errors
}

function validateAddresses(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = []
  const { clusterIPs = [], clusterIP } = spec
  if (spec.type === 'ExternalName') {
    if (clusterIPs.length > 0)
      errors.push(forbiddenField('spec.clusterIPs', 'may not be set for ExternalName services'))
    if (spec.ipFamilies?.length)
      errors.push(forbiddenField('spec.ipFamilies', 'may not be set for ExternalName services'))
    if (spec.ipFamilyPolicy !== undefined) {
      errors.push(forbiddenField('spec.ipFamilyPolicy', 'may not be set for ExternalName services'))
    }
    if (!spec.externalName) errors.push(requiredField('spec.externalName'))
    else {
      const name = spec.externalName.endsWith('.') ? spec.externalName.slice(0, -1) : spec.externalName
      for (const message of isDns1123Subdomain(name))
        errors.push(invalidField('spec.externalName', spec.externalName, message))
    }
    return errors
  }
  if (clusterIP === 'None' && (spec.type === 'LoadBalancer' || spec.type === 'NodePort')) {
    errors.push(invalidField('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`))
  }
  if (clusterIP !== undefined && clusterIPs.length === 0) errors.push(requiredField('spec.clusterIPs'))
  if (clusterIPs.length > 0 && clusterIPs[0] !== clusterIP) {
    errors.push(invalidField('spec.clusterIPs', clusterIPs, 'first value must match `clusterIP`'))
  }
  if (clusterIPs.length > 2) errors.push(invalidField('spec.clusterIPs', clusterIPs, 'may only hold up to 2 values'))
  clusterIPs.forEach((ip, i) => {
    if (ip === 'None') {
      if (clusterIPs.length > 1) {
        errors.push(invalidField('spec.clusterIPs', clusterIPs, "'None' must be the first and only value"))
      }
    } else if (parseIp(ip) === undefined) errors.push(invalidField(`spec.clusterIPs[${i}]`, ip, validIp))
  })
  return errors
}

function validateFamilies(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = []
  const policies = ['PreferDualStack', 'RequireDualStack', 'SingleStack']
  if (spec.ipFamilyPolicy !== undefined && !policies.includes(spec.ipFamilyPolicy)) {
    errors.push(notSupportedField('spec.ipFamilyPolicy', spec.ipFamilyPolicy, policies))
  }
  const seen = new Set<string>()
  spec.ipFamilies?.forEach((family, i) => {
    if (family !== 'IPv4' && family !== 'IPv6') {
      errors.push(notSupportedField(`spec.ipFamilies[${i}]`, family, ['IPv4', 'IPv6']))
    }
    if (seen.has(family)) errors.push(duplicateField(`spec.ipFamilies[${i}]`, family))
    seen.add(family)
  })
  return errors
}

const oneOf = (value: string | undefined, allowed: readonly string[], path: string): FieldError[] =>
  value === undefined || allowed.includes(value) ? [] : [notSupportedField(path, value, allowed)]

function validateTraffic(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = []
  const external =
    spec.type === 'LoadBalancer' ||
    spec.type === 'NodePort' ||
    (spec.type === 'ClusterIP' && (spec.externalIPs?.length ?? 0) > 0)
  const policies = ['Cluster', 'Local']
  if (!external && spec.externalTrafficPolicy) {
    errors.push(
      invalidField(
        'spec.externalTrafficPolicy',
        spec.externalTrafficPolicy,
        'may only be set for externally-accessible services',
      ),
    )
  } else if (external) errors.push(...oneOf(spec.externalTrafficPolicy, policies, 'spec.externalTrafficPolicy'))
  const local = spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local'
  if (spec.healthCheckNodePort && !local) {
    errors.push(
      invalidField(
        'spec.healthCheckNodePort',
        spec.healthCheckNodePort,
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      ),
    )
  }
  errors.push(...oneOf(spec.internalTrafficPolicy, policies, 'spec.internalTrafficPolicy'))
  errors.push(
    ...oneOf(spec.trafficDistribution, ['PreferClose', 'PreferSameNode', 'PreferSameZone'], 'spec.trafficDistribution'),
  )
  return errors
}
const oneDay = 86_400
function validateAffinity(spec: ServiceSpec): FieldError[] {
  const errors = oneOf(spec.sessionAffinity, ['ClientIP', 'None'], 'spec.sessionAffinity')
  const at = 'spec.sessionAffinityConfig'
  if (spec.sessionAffinity === 'None' && spec.sessionAffinityConfig !== undefined) {
    errors.push(forbiddenField(at, 'must not be set when session affinity is None'))
  }
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds
  if (seconds !== undefined && (seconds <= 0 || seconds > oneDay)) {
    errors.push(
      invalidField(`${at}.clientIP.timeoutSeconds`, seconds, `must be greater than 0 and less than ${oneDay}`),
    )
  }
  return errors
}
function validateLoadBalancer(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = []
  const balanced = spec.type === 'LoadBalancer'
  if (!balanced && (spec.loadBalancerSourceRanges?.length ?? 0) > 0) {
    errors.push(forbiddenField('spec.LoadBalancerSourceRanges', "may only be used when `type` is 'LoadBalancer'"))
  }
  spec.loadBalancerSourceRanges?.forEach((range, i) => {
    if (parseCidr(range.trim()) === undefined) {
      errors.push(
        invalidField(
          `spec.LoadBalancerSourceRanges[${i}]`,
          range,
          'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
        ),
      )
    }
  })
  if (!balanced && spec.allocateLoadBalancerNodePorts !== undefined) {
    errors.push(forbiddenField('spec.allocateLoadBalancerNodePorts', "may only be used when `type` is 'LoadBalancer'"))
  }
  if (spec.loadBalancerClass !== undefined) {
    const at = 'spec.loadBalancerClass'
    if (!balanced) errors.push(forbiddenField(at, "may only be used when `type` is 'LoadBalancer'"))
    for (const message of isQualifiedName(spec.loadBalancerClass))
      errors.push(invalidField(at, spec.loadBalancerClass, message))
  }
  return errors
}

export function validateService(service: Service): FieldError[] {
  const { spec } = service
  const errors = [
    ...validatePorts(spec),
    ...validateLabels(spec.selector, 'spec.selector'),
    ...oneOf(spec.type, serviceTypes, 'spec.type'),
    ...validateAddresses(spec),
    ...validateFamilies(spec),
    ...validateAffinity(spec),
    ...validateTraffic(spec),
    ...validateLoadBalancer(spec),
  ]
  spec.externalIPs?.forEach((ip, i) => errors.push(...validateNonSpecialIp(ip, `spec.externalIPs[${i}]`)))
  return errors
}

export function validateServiceUpdate(service: Service, old: Service): FieldError[] {
  const { spec } = service
  const errors: FieldError[] = []
  if (old.spec.type !== 'ExternalName' && spec.type !== 'ExternalName') {
    const [before, now] = [old.spec.clusterIPs?.[0], spec.clusterIPs?.[0]]
    if (before !== undefined && now === undefined) {
      errors.push(invalidField('spec.clusterIPs[0]', spec.clusterIPs ?? [], 'primary clusterIP can not be unset'))
    } else if (before !== undefined && now !== before) {
      errors.push(invalidField('spec.clusterIPs[0]', spec.clusterIPs, 'may not change once set'))
    }
    const [familyBefore, family] = [old.spec.ipFamilies?.[0], spec.ipFamilies?.[0]]
    if (familyBefore !== undefined && family !== undefined && family !== familyBefore) {
      errors.push(invalidField('spec.ipFamilies[0]', spec.ipFamilies, 'may not change once set'))
    }
  }
  const bothBalanced = old.spec.type === 'LoadBalancer' && spec.type === 'LoadBalancer'
  if (bothBalanced && spec.loadBalancerClass !== old.spec.loadBalancerClass) {
    errors.push(invalidField('spec.loadBalancerClass', spec.loadBalancerClass, 'may not change once set'))
  }
  return errors
}

export function validateServiceStatus(service: Service): FieldError[] {
  const errors: FieldError[] = []
  const ingress = service.status.loadBalancer.ingress ?? []
  if (ingress.length > 0 && service.spec.type !== 'LoadBalancer') {
    errors.push(forbiddenField('status.loadBalancer.ingress', "may only be used when `spec.type` is 'LoadBalancer'"))
  }
  ingress.forEach((one, i) => {
    const at = `status.loadBalancer.ingress[${i}]`
    if (one.ip) {
      if (parseIp(one.ip) === undefined) errors.push(invalidField(`${at}.ip`, one.ip, validIp))
      if (one.ipMode === undefined) errors.push(requiredField(`${at}.ipMode`, 'must be specified when `ip` is set'))
    } else if (one.ipMode !== undefined) {
      errors.push(forbiddenField(`${at}.ipMode`, 'may not be specified when `ip` is not set'))
    }
    if (one.hostname) {
      for (const message of isDns1123Subdomain(one.hostname))
        errors.push(invalidField(`${at}.hostname`, one.hostname, message))
    }
    for (const port of one.ports ?? []) {
      for (const message of isInRange(port.port, 1, 65535))
        errors.push(invalidField(`${at}.ports.port`, port.port, message))
    }
  })
  return errors
}
