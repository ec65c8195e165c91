import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Tests run the TypeScript sources; only the workspace package needs pointing at its own.
const sources = new URL('packages/oci-spec-types/src/', import.meta.url)
const alias = [
  { find: /^oci-spec-types$/, replacement: fileURLToPath(new URL('index.ts', sources)) },
  { find: /^oci-spec-types\/schemas$/, replacement: fileURLToPath(new URL('schemas.ts', sources)) },
]

// The gate adds up the suites from these files; a person reads the default reporter.
const report = process.env['LAYERWRIGHT_REPORT']

export default defineConfig({
  test: {
    ...(report === undefined ? {} : { reporters: ['default', 'json'], outputFile: { json: report } }),
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/interop/**'],
          pool: 'threads',
          isolate: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'interop',
          include: ['test/interop/**/*.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          // These reach real indexes and archives, which fail now and then; a fault of ours fails twice.
          retry: 1,
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
})
