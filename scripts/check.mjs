// Every check that a change must pass, in one run; prints the time of each and stops at the end, not at the first failure.
import { spawnSync } from 'node:child_process'

const steps = ['check:format', 'check:types', 'check:lint', 'check:boundaries', 'check:dead', 'test:unit']
let failed = 0
for (const step of steps) {
  const start = performance.now()
  const { status } = spawnSync('npm', ['run', '--silent', step], { stdio: 'inherit' })
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${step} (${seconds} s)`)
  if (status !== 0) failed++
}
process.exitCode = failed === 0 ? 0 : 1
