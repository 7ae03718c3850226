// --scheduler-config: the file, and the modules with scheduler plugins that it names. A module is TypeScript or JavaScript; what it
// imports is bundled with it, and what it exports that looks like a plugin is one.
import type * as Esbuild from 'esbuild'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ConfigError } from '../api/machinery/config-file.ts'
import { readSchedulerConfiguration, type SchedulerSettings } from '../scheduler-configuration.ts'
import { CliError } from './command.ts'
import { importModule } from './loader.ts'

type PluginFactory = SchedulerSettings['plugins'][number]

/** The library, for modules that import values of it ("coxswain"). */
const libraryUrl = new URL('./index.js', import.meta.url).href

async function bundle(path: string): Promise<string> {
  const { build } = (await importModule('esbuild')) as typeof Esbuild
  const { outputFiles } = await build({
    entryPoints: [path],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
    plugins: [
      {
        name: 'library',
        setup(plugin) {
          plugin.onResolve({ filter: /^coxswain$/ }, () => ({ path: libraryUrl, external: true }))
        },
      },
    ],
  })
  return outputFiles[0]?.text ?? ''
}
const isFactory = (value: unknown): value is PluginFactory =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as PluginFactory).name === 'string' &&
  typeof (value as PluginFactory).create === 'function'

/** The plugins that a module exports. Throws ConfigError. */
async function loadModule(path: string): Promise<readonly PluginFactory[]> {
  if (!existsSync(path)) throw new ConfigError(`pluginModules: there is no file ${path}`)
  let exported: Readonly<Record<string, unknown>>
  try {
    const url = /\.[cm]?ts$/.test(path)
      ? `data:text/javascript;base64,${Buffer.from(await bundle(path)).toString('base64')}`
      : pathToFileURL(path).href
    exported = (await importModule(url)) as Readonly<Record<string, unknown>>
  } catch (error) {
    throw new ConfigError(`pluginModules: ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
  const plugins = [...new Set(Object.values(exported))].filter(isFactory)
  if (plugins.length === 0)
    throw new ConfigError(`pluginModules: ${path} exports no plugin: an object with a name and a function create`)
  return plugins
}

/** Reads the file of --scheduler-config. Throws CliError that names the flag, the file and the field. */
export async function schedulerOf(flag: string | undefined): Promise<SchedulerSettings | undefined> {
  if (flag === undefined) return undefined
  const file = resolve(flag)
  try {
    const text = readFileSync(file, 'utf8')
    return await readSchedulerConfiguration(
      text,
      (module) => loadModule(module.startsWith('file:') ? fileURLToPath(module) : resolve(dirname(file), module)),
      (path) => readFileSync(resolve(dirname(file), path), 'utf8'),
    )
  } catch (error) {
    if (error instanceof ConfigError) throw new CliError(`--scheduler-config ${flag}: ${error.message}`, 2)
    if (error instanceof Error && 'code' in error)
      throw new CliError(`--scheduler-config ${flag}: cannot be read: ${error.message.split(',')[0] ?? ''}`, 2)
    throw error
  }
}
