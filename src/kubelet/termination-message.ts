// The last words of a container: what it wrote to its termination message file, or the end of its log if it failed and the
// policy says so. 4 KiB a container, 12 KiB a pod.
import type { ContainerStatus } from '../ports/container-runtime.ts'
import type { Disk } from '../ports/disk.ts'
import { messagePathOf, messagePolicyOf } from './labels.ts'
import { lastLines } from './logs.ts'

const maxBytes = 4096
const maxPodBytes = 12 * 1024
const logLines = 80
const logBytes = 2048

export async function terminationMessage(disk: Disk, status: ContainerStatus, containers: number): Promise<string> {
  const limit = Math.min(maxBytes, Math.floor(maxPodBytes / Math.max(1, containers)))
  const path = messagePathOf(status)
  const file = path === '' ? undefined : status.mounts.find((mount) => mount.containerPath === path)?.hostPath
  const content = file === undefined ? undefined : await disk.readFile(file)
  if (content !== undefined && content.length > 0) return new TextDecoder().decode(content.subarray(0, limit))
  if (messagePolicyOf(status) !== 'FallbackToLogsOnError' || status.exitCode === 0) return ''
  return lastLines(disk, status.logPath, logLines, Math.min(logBytes, limit))
}
