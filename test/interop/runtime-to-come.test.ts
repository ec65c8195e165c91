import path from 'node:path'
import { test } from 'vitest'
import { makeRuntimeBundle } from '../support/runtime-bundle.ts'
import { expectPassInImages, FAST } from '../support/runtime-suite.ts'
import { makeTestingBase } from '../support/testing-base.ts'

// As runtime-image.test.ts, on the interpreter of the Debian that comes next.

test('the runtime runs on the Python of a Debian to come, 3.14', { timeout: 3_600_000 }, (context) =>
  expectPassInImages(context, FAST, async (folder) => {
    const base = await makeTestingBase(path.join(folder, 'forky'), ['python3.14', 'ca-certificates'])
    const build = ['python_version: "3.14"', `base_image: ${base}`]
    return { LAYERWRIGHT_TEST_IMAGE: await makeRuntimeBundle(folder, { build, isCompiled: true }) }
  }),
)
