import { expect, test } from 'vitest'
import { cogEnvironment, launcherEnvironment, runPytest, whatIsMissing } from '../support/runtime-environment.ts'

// The runtime's own suite (pytest), with other people's clients and with Cog's server as the oracle, in virtual
// environments that are kept under `.cache` and made again when their requirements change.

test('the runtime passes its suite, with other clients and beside Cog', { timeout: 3_600_000 }, async ({ skip }) => {
  const missing = await whatIsMissing('redis-server')
  if (missing !== undefined) {
    if (process.env['LAYERWRIGHT_INTEROP'] === 'required') throw new Error(missing)
    skip(missing)
  }
  const stdout = await runPytest(await launcherEnvironment(), ['python/tests'], {
    LAYERWRIGHT_TEST_COG_PYTHON: await cogEnvironment(),
  })
  expect(stdout).toMatch(/\d+ passed/)
  // Tests that must fail on Cog's server are counted as `xfailed`.
  expect(stdout).not.toMatch(/\b[1-9]\d* (failed|error)/)
})
