// What is to be done once this process serves: work that must not hold up a start.
const callbacks: (() => void)[] = []

export function onReady(callback: () => void): void {
  callbacks.push(callback)
}
export function nowReady(): void {
  for (const callback of callbacks.splice(0)) callback()
}
