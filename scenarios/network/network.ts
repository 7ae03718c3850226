// What the scenarios of the network share: a cluster with socat loaded, pods that say their name by TCP and UDP, and
// questions that are asked again until the answer is as expected.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cox } from '../cli/cox.ts'
import { socatArchive } from '../images/socat.ts'
import { type Kubectl, kubectlCluster } from '../kubectl/cluster.ts'

export async function networkCluster(name: string): Promise<Kubectl> {
  const cluster = await kubectlCluster(name)
  const folder = mkdtempSync(join(tmpdir(), 'cox-socat-'))
  try {
    const path = join(folder, 'socat.tar')
    writeFileSync(path, await socatArchive())
    const dataDir = cluster.env['KUBECONFIG']?.replace(/\/kubeconfig$/, '') ?? ''
    const { code, stderr } = await cox(['image', 'load', path], { env: { COX_DATA_DIR: dataDir } })
    if (code !== 0) throw new Error(stderr)
  } finally {
    rmSync(folder, { recursive: true })
  }
  return cluster
}

/** A pod that answers its name: HTTP on 8080, UDP on 9000. `spec` and `container` are YAML in flow style. */
export const server = (
  name: string,
  more: { readonly labels?: string; readonly container?: string; readonly spec?: string } = {},
) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: web${more.labels === undefined ? '' : `, ${more.labels}`}}}
spec:
  terminationGracePeriodSeconds: 1
  ${more.spec ?? ''}
  containers:
  - name: web
    image: socat
    imagePullPolicy: IfNotPresent
    command:
    - sh
    - -c
    - |
      mkdir -p /tmp/www; hostname > /tmp/www/index.html; touch /tmp/ready
      socat UDP-RECVFROM:9000,fork SYSTEM:hostname &
      exec httpd -f -p 8080 -h /tmp/www
    ports: [{name: http, containerPort: 8080}, {name: udp, containerPort: 9000, protocol: UDP}]
    readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}
    ${more.container ?? ''}
`
/** A pod that asks. */
export const client = (name: string, labels = '') => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {role: client${labels === '' ? '' : `, ${labels}`}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: socat, imagePullPolicy: IfNotPresent, command: [sh, -c, 'trap exit TERM; sleep 100000 & wait']}
`

/** Asks until `check` holds; fails with the last answer. */
export async function eventually<T>(
  ask: () => T | Promise<T>,
  check: (answer: T) => boolean,
  timeoutMs = 60_000,
): Promise<T> {
  const end = Date.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (check(answer)) return answer
    if (Date.now() > end) throw new Error(`never as expected, last: ${JSON.stringify(answer)}`)
    await new Promise((done) => setTimeout(done, 200))
  }
}

/** A line of shell on the node; what it prints, or its error. */
export function onNode(line: string): string {
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', line], { encoding: 'utf8' })
  return stdout.trim() === '' ? stderr.trim() : stdout.trim()
}
/** A line of shell in a pod; what it prints, and "exit N" where it fails. */
export async function inPod(k: Kubectl, pod: string, line: string): Promise<string> {
  const { code, stdout, stderr } = await k.run(['exec', pod, '--', 'sh', '-c', line])
  return code === 0 ? stdout.trim() : `${stdout}${stderr} exit ${code}`.trim()
}
export const httpGet = (host: string, path = '/', timeoutSeconds = 3): string =>
  `timeout ${timeoutSeconds} wget -qO- http://${host}${path}`
export const udpAsk = (host: string, port: number): string => `echo x | timeout 3 socat -t2 - UDP:${host}:${port}`
