// Which kubectl the scenarios run: the one on PATH, or what KUBECTL names, so that old and current ones can both be tried.
import { execFileSync } from 'node:child_process'

export const kubectlFile = process.env['KUBECTL'] || 'kubectl'

const hasKubectl = (() => {
  try {
    execFileSync(kubectlFile, ['version', '--client'], { stdio: 'ignore' })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      if (kubectlFile === 'kubectl') return false
      throw new Error(`KUBECTL names no program: ${kubectlFile}`, { cause: error })
    }
    throw error
  }
})()
/** Real containers, driven by kubectl. In CI that is a must. */
export const able = process.getuid?.() === 0 && hasKubectl
if (!able && process.env['CI'] === 'true') throw new Error('these scenarios need root and kubectl')
if (!able) console.warn('skipped: these scenarios need root and kubectl')
