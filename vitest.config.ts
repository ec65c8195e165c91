import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

// Tests run the TypeScript sources; only the workspace package needs pointing at its own.
const sources = new URL('packages/oci-spec-types/src/', import.meta.url)
const alias = [
  { find: /^oci-spec-types$/, replacement: fileURLToPath(new URL('index.ts', sources)) },
  { find: /^oci-spec-types\/schemas$/, replacement: fileURLToPath(new URL('schemas.ts', sources)) },
]

/** Milliseconds until something that must happen counts as not happening; the second that vitest gives is short on a busy machine. */
const POLL_MS = 30_000

/** The same for a unit test; beside three times as much work as there are processors the longest takes half a minute. */
const LIMIT_MS = 180_000

// vitest leaves one processor free, which is half of a machine with two; many tests wait for a server or a timer.
const unitWorkers = Math.max(2, availableParallelism())

/**
 * Files that take a minute or more, the longest first: begun last, one of them would run alone at the end. The suites of the
 * runtime (`runtime…`) and Go tools that are compiled the first time (`apt-sources` six minutes, `nerdctl` two) fill both
 * processors by themselves, so others stand between them.
 */
const SLOW = [
  'apt-sources',
  'examples',
  'lazy',
  'debian',
  'runtime',
  'sources',
  'resolve',
  'runtime-image',
  'compression',
  'nerdctl',
  'running',
  'runtime-platforms',
  'check',
  'runtime-newest',
  'registry-faults',
  'run',
  'runtime-to-come',
  'queue-servers',
  'confined',
  'layers',
  'readme',
]

class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = SLOW.findIndex((name) => moduleId.endsWith(`/interop/${name}.test.ts`))
      return at === -1 ? SLOW.length : at
    }
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b))
  }
}

// The gate adds up the suites from these files; a person reads the default reporter.
const report = process.env['LAYERWRIGHT_REPORT']

export default defineConfig({
  test: {
    ...(report === undefined ? {} : { reporters: ['default', 'json'], outputFile: { json: report } }),
    sequence: { sequencer: SlowFirst },
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/interop/**'],
          pool: 'threads',
          isolate: false,
          maxWorkers: unitWorkers,
          testTimeout: LIMIT_MS,
          hookTimeout: LIMIT_MS,
          expect: { poll: { timeout: POLL_MS } },
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'interop',
          include: ['test/interop/**/*.test.ts'],
          pool: 'forks',
          // Two at once: one waits for the network or a server while the other computes.
          maxWorkers: 2,
          // These reach real indexes and archives, which fail now and then; a fault of ours fails twice.
          retry: 1,
          testTimeout: 600_000,
          hookTimeout: 600_000,
          expect: { poll: { timeout: POLL_MS } },
        },
      },
    ],
  },
})
