// Where plugins and drivers of devices, and those who watch over devices, look for a kubelet whatever its own directory is: the first
// cluster of a machine has these places, as links into its directory, until it goes.
import { existsSync, lstatSync, mkdirSync, readlinkSync, rmdirSync, symlinkSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'

const usualDirectory = '/var/lib/kubelet'
const names = ['device-plugins', 'plugins', 'plugins_registry', 'pod-resources'] as const

/** What a link leads to; undefined where there is none. */
const targetOf = (path: string): string | undefined =>
  lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(path) : undefined

/** Takes the places that are free, or that were of a cluster whose directory is gone. */
export function claimUsualPaths(rootDirectory: string, usual = usualDirectory): void {
  mkdirSync(usual, { recursive: true })
  for (const name of names) {
    const [link, own] = [join(usual, name), join(rootDirectory, name)]
    const target = targetOf(link)
    if (target !== undefined && target !== own && !existsSync(target)) unlinkSync(link)
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue
    // Another cluster would take it for left behind.
    mkdirSync(own, { recursive: true, mode: 0o750 })
    symlinkSync(own, link)
  }
}

export function releaseUsualPaths(rootDirectory: string, usual = usualDirectory): void {
  for (const name of names) if (targetOf(join(usual, name)) === join(rootDirectory, name)) unlinkSync(join(usual, name))
  try {
    rmdirSync(usual)
  } catch (error) {
    // Somebody else has something there, or there was nothing.
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code !== 'ENOTEMPTY' && code !== 'ENOENT' && code !== 'EBUSY') throw error
  }
}
