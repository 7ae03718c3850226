// What the commands that run a cluster and the program that loads them (code-cache.ts) do for each other.
const callbacks: (() => void)[] = []
let load = (specifier: string): Promise<unknown> => import(specifier)

/** `callback` is called once this process serves: for work that must not hold up a start. */
export function onReady(callback: () => void): void {
  callbacks.push(callback)
}
export function nowReady(): void {
  for (const callback of callbacks.splice(0)) callback()
}

/** Imports a module that is no part of the program. */
export const importModule = (specifier: string): Promise<unknown> => load(specifier)
/** A script cannot import; whoever loads it lends it the import of a module. */
export function lendImport(lent: typeof importModule): void {
  load = lent
}
