// The commands that run a cluster: the part of the program that is large, built as one script (see code-cache.ts).
export { agent } from './commands/agent.ts'
export { server } from './commands/server.ts'
export { up } from './commands/up.ts'
export { lendImport, onReady } from './loader.ts'
