import { openMemoryStore } from './memory.ts'
import { modelSuite } from './testing/model-suite.ts'
import { storeSuite } from './testing/store-suite.ts'
import { TestClock } from './testing/test-clock.ts'

async function open() {
  const clock = new TestClock()
  const store = openMemoryStore({ clock })
  return {
    store,
    advance: async (ms: number) => {
      clock.advance(ms)
      // What has expired is deleted before a write that comes after it.
      await store.txn([], [{ type: 'delete', key: '/nothing' }])
    },
    dispose: () => store.close(),
  }
}

storeSuite('memory', open)
modelSuite('memory', open, { runs: 200 })
