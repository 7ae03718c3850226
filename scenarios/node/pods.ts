// What the scenarios of the node share: whether they can run here, and pods in a few lines.
import { execFileSync } from 'node:child_process'

const hasKubectl = (() => {
  try {
    execFileSync('kubectl', ['version', '--client'], { stdio: 'ignore' })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
})()
/** Real containers, driven by kubectl. In CI that is a must. */
export const able = process.getuid?.() === 0 && hasKubectl
if (!able && process.env['CI'] === 'true') throw new Error('these scenarios need root and kubectl')
if (!able) console.warn('skipped: these scenarios need root and kubectl')

const indented = (text: string, spaces: number) => text.replace(/^(?=.)/gm, ' '.repeat(spaces))

/** A pod of busybox containers; `spec` and the containers are YAML. A container without a command sleeps. */
export function podOf(name: string, containers: Readonly<Record<string, string>>, spec = ''): string {
  const list = Object.entries(containers).map(([container, more]) => {
    const sleeps = /^command:/m.test(more) ? '' : 'command: [sh, -c, "trap exit TERM; sleep 100000 & wait"]\n'
    return `- name: ${container}\n${indented(`image: busybox\nimagePullPolicy: IfNotPresent\n${sleeps}${more}`, 2)}`
  })
  return [
    'apiVersion: v1',
    'kind: Pod',
    `metadata: {name: ${name}, labels: {app: ${name}}}`,
    'spec:',
    '  terminationGracePeriodSeconds: 2',
    indented(spec, 2),
    '  containers:',
    indented(list.join('\n'), 2),
  ]
    .filter((part) => part !== '')
    .join('\n')
}
/** An entry of initContainers, to be put into `spec`. */
export const initContainers = (...entries: readonly (readonly [name: string, more: string])[]): string =>
  `initContainers:\n${entries
    .map(([name, more]) => `- name: ${name}\n${indented(`image: busybox\nimagePullPolicy: IfNotPresent\n${more}`, 2)}`)
    .join('\n')}`
