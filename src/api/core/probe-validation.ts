// Rules of probes and lifecycle hooks.
import { type FieldError, forbiddenField, invalidField, notSupportedField, requiredField } from '../machinery/errors.ts'
import {
  isHttpHeaderName,
  isValidPortNumber,
  validateNonNegative,
  validatePortNumberOrName,
} from '../machinery/validation.ts'
import type { HTTPGetAction, Lifecycle, LifecycleHandler, Probe } from './probes.ts'

function validateHttpGet(action: HTTPGetAction, path: string): FieldError[] {
  const errors: FieldError[] = []
  if (action.path === '') errors.push(requiredField(`${path}.path`))
  errors.push(...validatePortNumberOrName(action.port, `${path}.port`))
  if (action.scheme !== 'HTTP' && action.scheme !== 'HTTPS') {
    errors.push(notSupportedField(`${path}.scheme`, action.scheme, ['HTTP', 'HTTPS']))
  }
  action.httpHeaders?.forEach((header, i) => {
    const at = `${path}.httpHeaders[${i}].name`
    for (const message of isHttpHeaderName(header.name)) errors.push(invalidField(at, header.name, message))
  })
  return errors
}

type Handler = Pick<Probe, 'exec' | 'httpGet' | 'tcpSocket' | 'grpc'> & Pick<LifecycleHandler, 'sleep'>
function validateHandler(handler: Handler, path: string, graceSeconds: number): FieldError[] {
  const errors: FieldError[] = []
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler
  let count = 0
  const one = (name: keyof Handler, rule: () => readonly FieldError[]) => {
    if (handler[name] === undefined) return
    if (count++ > 0) errors.push(forbiddenField(`${path}.${name}`, 'may not specify more than 1 handler type'))
    else errors.push(...rule())
  }
  one('exec', () => ((exec?.command?.length ?? 0) === 0 ? [requiredField(`${path}.exec.command`)] : []))
  one('httpGet', () => (httpGet === undefined ? [] : validateHttpGet(httpGet, `${path}.httpGet`)))
  one('tcpSocket', () =>
    tcpSocket === undefined ? [] : validatePortNumberOrName(tcpSocket.port, `${path}.tcpSocket.port`),
  )
  one('grpc', () =>
    grpc === undefined
      ? []
      : isValidPortNumber(grpc.port).map((message) => invalidField(`${path}.grpc.port`, grpc.port, message)),
  )
  one('sleep', () =>
    sleep !== undefined && (sleep.seconds < 0 || sleep.seconds > graceSeconds)
      ? [
          invalidField(
            `${path}.sleep`,
            sleep.seconds,
            `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`,
          ),
        ]
      : [],
  )
  if (count === 0) errors.push(requiredField(path, 'must specify a handler type'))
  return errors
}

type ProbeName = 'livenessProbe' | 'readinessProbe' | 'startupProbe'
function validateProbe(probe: Probe, path: string, name: ProbeName): FieldError[] {
  const errors = validateHandler(probe, path, 0)
  const numbers = [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const
  for (const field of numbers) errors.push(...validateNonNegative(probe[field] ?? 0, `${path}.${field}`))
  const grace = probe.terminationGracePeriodSeconds
  if (name === 'readinessProbe') {
    if (grace !== undefined) {
      errors.push(invalidField(`${path}.terminationGracePeriodSeconds`, grace, 'must not be set for readinessProbes'))
    }
  } else {
    if (grace !== undefined && grace <= 0) {
      errors.push(invalidField(`${path}.terminationGracePeriodSeconds`, grace, 'must be greater than 0'))
    }
    if (probe.successThreshold !== 1) {
      errors.push(invalidField(`${path}.successThreshold`, probe.successThreshold, 'must be 1'))
    }
  }
  return errors
}
export function validateProbes(
  container: { readonly [K in ProbeName]?: Probe | undefined },
  path: string,
): FieldError[] {
  return (['livenessProbe', 'readinessProbe', 'startupProbe'] as const).flatMap((name) => {
    const probe = container[name]
    return probe === undefined ? [] : validateProbe(probe, `${path}.${name}`, name)
  })
}

const signalPattern = /^SIG[A-Z0-9+-]+$/
export function validateLifecycle(
  lifecycle: Lifecycle | undefined,
  path: string,
  pod: { readonly graceSeconds: number; readonly os: string | undefined },
): FieldError[] {
  if (lifecycle === undefined) return []
  const errors: FieldError[] = []
  for (const hook of ['postStart', 'preStop'] as const) {
    const handler = lifecycle[hook]
    if (handler !== undefined) errors.push(...validateHandler(handler, `${path}.${hook}`, pod.graceSeconds))
  }
  if (lifecycle.stopSignal !== undefined) {
    const at = `${path}.stopSignal`
    if (pod.os === undefined) {
      errors.push(forbiddenField(at, 'may not be set for containers with empty `spec.os.name`'))
    } else if (!signalPattern.test(lifecycle.stopSignal)) {
      errors.push(notSupportedField(at, lifecycle.stopSignal, []))
    }
  }
  return errors
}
