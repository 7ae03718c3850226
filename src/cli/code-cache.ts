// Loads the commands that run a cluster from their script, serving.cjs beside the program. What V8 compiled of it is kept in a file
// beside it when a cluster has become ready for the first time, and taken from there later: compiling is a third of the processor
// time of a start (docs/decisions/0023).
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cachedDataVersionTag } from 'node:v8'
import { Script } from 'node:vm'
import type * as Serving from './serving.ts'

type Wrapped = (exports: object, require: NodeJS.Require, module: object, filename: string, directory: string) => void

/** Nothing is lost without the cache but time, so a file that cannot be read or written is no error. */
function readCache(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
function writeCache(path: string, code: Buffer): void {
  const written = `${path}.${process.pid}`
  try {
    // On disk before it has its name: V8 looks at the length, not at every byte, and a machine may lose power.
    writeFileSync(written, code, { flush: true })
    renameSync(written, path)
  } catch {
    rmSync(written, { force: true })
  }
}

/** The commands that run a cluster. */
export function serving(): typeof Serving {
  const path = fileURLToPath(new URL('serving.cjs', import.meta.url))
  // The build writes the function around it, and nothing but ASCII.
  const source = readFileSync(path, 'latin1')
  // V8 compares no more than the length of the source with the cache, so its name tells the build, and V8's version and flags.
  const build = /^\/\* (\w+) \*\//.exec(source)?.[1] ?? ''
  const cachePath = `${path}.${build}.${cachedDataVersionTag().toString(16)}.cache`
  const cachedData = readCache(cachePath)
  const script = new Script(source, {
    filename: path,
    ...(cachedData === undefined ? {} : { cachedData }),
  })
  const program = { exports: {} as typeof Serving }
  const run = script.runInThisContext() as Wrapped
  run(program.exports, createRequire(path), program, path, dirname(path))
  program.exports.lendImport((specifier) => import(specifier))
  if (cachedData === undefined || script.cachedDataRejected === true)
    program.exports.onReady(() => writeCache(cachePath, script.createCachedData()))
  return program.exports
}
