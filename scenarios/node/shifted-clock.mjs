// Imported into a program by NODE_OPTIONS: its wall clock is off by as many milliseconds as the file WALL_CLOCK_FILE says,
// and is set anew whenever that changes. Its monotonic clock goes on.
import { readFileSync } from 'node:fs'

const file = process.env['WALL_CLOCK_FILE']
const real = Date.now
let shiftMs = 0
let readMs = Number.NEGATIVE_INFINITY
function now() {
  if (performance.now() - readMs > 20) {
    readMs = performance.now()
    shiftMs = Number(readFileSync(file, 'utf8'))
  }
  return real() + shiftMs
}
globalThis.Date = new Proxy(Date, {
  get: (target, key) => (key === 'now' ? now : Reflect.get(target, key)),
  construct: (target, given, made) => Reflect.construct(target, given.length === 0 ? [now()] : given, made),
  apply: () => new Date().toString(),
})
