import path from 'node:path'
import { test } from 'vitest'
import { makeRuntimeBundle } from '../support/runtime-bundle.ts'
import { expectPassInImages } from '../support/runtime-suite.ts'

// The runtime's suite once more, inside images: built by this program on a composed base, unpacked by umoci, started by
// runc with the image's own entry point, as a uid that is in no passwd file, on a read-only root, without capabilities.
// Newer interpreters have files of their own, so that they run side by side.

test(
  "the runtime passes its suite inside an image, as any uid, and Cog's beside it",
  { timeout: 3_600_000 },
  (context) =>
    expectPassInImages(context, ['python/tests'], async (folder) => ({
      LAYERWRIGHT_TEST_IMAGE: await makeRuntimeBundle(path.join(folder, 'runtime'), {
        build: ['python_version: "3.11"'],
      }),
      LAYERWRIGHT_TEST_COG_IMAGE: await makeRuntimeBundle(path.join(folder, 'coglet'), {
        build: ['python_version: "3.11"', 'sdk_version: "0.23.1"'],
        runtime: 'coglet',
      }),
    })),
)
