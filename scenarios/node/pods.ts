// What the scenarios of the node share: whether they can run here, and pods in a few lines.
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
