// The process that gets killed: writers that each put the same number under two keys, in one transaction, and report every
// acknowledgement over the pipe at once. Arguments: directory, number of writers. Bundled and started by crash-rounds.ts.
import { writeSync } from 'node:fs'
import type { Clock } from '../../ports/clock.ts'
import { openLmdbStore } from '../lmdb.ts'
import { bytes } from './texts.ts'

const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  // Nobody sets the clock here.
  onSet: () => ({ cancel: () => {} }),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}
const padding = 'p'.repeat(2000)

async function run(directory: string, writers: number): Promise<void> {
  const store = await openLmdbStore({ directory, clock })
  writeSync(1, `ready ${store.currentRevision()}\n`)
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      const [left, right] = [`/w/${writer}/left`, `/w/${writer}/right`]
      let before = (await store.get(left))?.modRevision ?? 0
      const found = new TextDecoder().decode((await store.get(left))?.value).split(' ')[0] ?? ''
      for (let n = Number(found) + 1; ; n++) {
        const value = bytes(`${n} ${padding}`)
        const result = await store.txn(
          [{ key: left, modRevision: before }],
          [
            { type: 'put', key: left, value },
            { type: 'put', key: right, value },
          ],
        )
        if (!result.ok) throw new Error(`writer ${writer} lost a race that it is alone in`)
        before = result.revision
        writeSync(1, `${writer} ${n} ${result.revision}\n`)
      }
    }),
  )
}

await run(process.argv[2] ?? '', Number(process.argv[3]))
