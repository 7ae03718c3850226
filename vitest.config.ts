import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // Two cores are two workers; the default leaves one to a user who watches.
    maxWorkers: '100%',
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts'],
          // Ceilings, not waits: the simulation computes, and a busy machine takes ten times as long for it.
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Modules hold no state of a run (nothing is registered by an import), so test files share them: most of the
          // time of an isolated run is spent on loading the same kinds a hundred times.
          isolate: false,
        },
      },
      {
        test: {
          name: 'scenarios',
          include: ['scenarios/**/*.test.ts'],
          // Real containers on a machine that may be busy: these are ceilings, not waits.
          testTimeout: 300_000,
          hookTimeout: 300_000,
          expect: { poll: { timeout: 60_000 } },
          fileParallelism: false,
        },
      },
    ],
  },
})
