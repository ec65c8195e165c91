import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeRuntimeBundle } from '../support/runtime-bundle.ts'
import { launcherEnvironment, runPytest, whatIsMissing } from '../support/runtime-environment.ts'
import { makeTestingBase } from '../support/testing-base.ts'

// The runtime's suite once more, inside images: built by this program on a composed base, unpacked by umoci, started by
// runc with the image's own entry point, as a uid that is in no passwd file, on a read-only root, without capabilities.

const LIMIT = { timeout: 1_800_000 }
/** What does not depend on the interpreter is left out: other people's clients, a Redis that is killed. */
const FAST = [
  'python/tests/test_conformance.py',
  'python/tests/test_deviations.py',
  'python/tests/test_launcher.py',
  'python/tests/test_queue.py::test_a_job_runs_and_leaves_the_stream',
  'python/tests/test_queue.py::test_a_poison_job_is_a_dead_letter_and_the_queue_goes_on',
  'python/tests/test_queue.py::test_running_and_waiting_jobs_are_canceled_within_a_second',
]

let missing: string | undefined
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'runtime-image-'))
  missing =
    (await whatIsMissing('redis-server', 'umoci', 'runc', 'apt-get', 'dpkg-deb')) ??
    (process.getuid?.() === 0 ? undefined : 'containers with the network of the host need root')
  if (missing !== undefined && process.env['LAYERWRIGHT_INTEROP'] === 'required') throw new Error(missing)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test("the runtime passes its suite inside an image, as any uid, and Cog's beside it", LIMIT, async ({ skip }) => {
  skip(missing !== undefined, missing)
  await expectPass(['python/tests'], {
    LAYERWRIGHT_TEST_IMAGE: await bundle('runtime', ['python_version: "3.11"']),
    LAYERWRIGHT_TEST_COG_IMAGE: await bundle('coglet', ['python_version: "3.11"', 'sdk_version: "0.23.1"'], 'coglet'),
  })
})

test('the runtime runs on the Python of the newest Debian, 3.13', LIMIT, async ({ skip }) => {
  skip(missing !== undefined, missing)
  await expectPass(FAST, { LAYERWRIGHT_TEST_IMAGE: await bundle('newest', ['python_version: "3.13"']) })
})

test('the runtime runs on the Python of a Debian to come, 3.14', LIMIT, async ({ skip }) => {
  skip(missing !== undefined, missing)
  const base = await makeTestingBase(path.join(folder, 'forky'), ['python3.14', 'ca-certificates'])
  await expectPass(FAST, {
    LAYERWRIGHT_TEST_IMAGE: await bundle('to-come', ['python_version: "3.14"', `base_image: ${base}`]),
  })
})

async function expectPass(tests: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  const stdout = await runPytest(await launcherEnvironment(), tests, env)
  expect(stdout).toMatch(/\d+ passed/)
  expect(stdout).not.toMatch(/\bfailed|\berror/)
}

function bundle(name: string, build: readonly string[], runtime?: 'coglet'): Promise<string> {
  return makeRuntimeBundle(path.join(folder, name), { build, runtime })
}
