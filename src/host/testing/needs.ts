// Tests that need root or a package of the machine say so when they are skipped, and may not be skipped in CI.
export const isRoot = process.platform === 'linux' && process.getuid?.() === 0
if (!isRoot && process.env['CI'] !== undefined)
  throw new Error('these tests mount file systems, make control groups and packet rules: run them as root')
if (!isRoot) console.warn('skipped for want of root: mounts, control groups, packet rules')
