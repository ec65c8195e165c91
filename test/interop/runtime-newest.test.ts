import { test } from 'vitest'
import { makeRuntimeBundle } from '../support/runtime-bundle.ts'
import { expectPassInImages, FAST } from '../support/runtime-suite.ts'

// As runtime-image.test.ts, on the interpreter of the newest Debian.

test('the runtime runs on the Python of the newest Debian, 3.13', { timeout: 3_600_000 }, (context) =>
  expectPassInImages(context, FAST, async (folder) => ({
    LAYERWRIGHT_TEST_IMAGE: await makeRuntimeBundle(folder, { build: ['python_version: "3.13"'], isCompiled: true }),
  })),
)
