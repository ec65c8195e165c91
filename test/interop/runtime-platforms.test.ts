import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test, type TestContext } from 'vitest'
import { hasCommand } from '../support/command.ts'
import { makeMuslBase } from '../support/musl-base.ts'
import { emulate, makeRuntimeBundle } from '../support/runtime-bundle.ts'
import { launcherEnvironment, runPytest, whatIsMissing } from '../support/runtime-environment.ts'
import { findTool, needTool } from '../support/tool.ts'

// The runtime inside images for what this machine is not: another architecture, another C library. Each starts by its
// image's entry point as any uid on a read-only root, as in runtime-image.test.ts; here a part of the suite is enough.

const LIMIT = { timeout: 3_600_000 }
/** Each kind of work that meets the machine: validation in Rust, processes, files, streams, tensors, the queue. */
const SHORT = [
  'python/tests/test_conformance.py::test_types_of_inputs_and_object_outputs[launcher]',
  'python/tests/test_conformance.py::test_server_sent_events[launcher]',
  'python/tests/test_launcher.py::test_open_inference_protocol',
  'python/tests/test_queue.py::test_a_job_runs_and_leaves_the_stream',
]

/** More of it, where nothing is emulated. */
const LONGER = [
  'python/tests/test_conformance.py',
  ...SHORT.slice(2),
  'python/tests/test_launcher.py::test_training_has_a_process_of_its_own',
  'python/tests/test_launcher.py::test_a_model_that_dies_is_restarted_and_its_prediction_says_how',
  'python/tests/test_queue.py::test_a_poison_job_is_a_dead_letter_and_the_queue_goes_on',
  '-k',
  'not cog',
]

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'runtime-platforms-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('the runtime runs on arm64, in an image that was built here', LIMIT, async (context) => {
  await needTools(context)
  const qemu = await findTool('qemu-aarch64-static')
  needTool(qemu, 'qemu-aarch64-static', context)
  needTool(await findTool('busybox'), 'busybox', context)
  const bundle = await makeRuntimeBundle(await mkdtemp(path.join(folder, 'arm64-')), {
    build: ['python_version: "3.11"'],
    platform: 'linux/arm64',
  })
  await emulate(bundle, qemu)
  await expectPass(SHORT, { LAYERWRIGHT_TEST_IMAGE: bundle, LAYERWRIGHT_TEST_PATIENCE: '10' })
})

test('the runtime runs on musl, in an image whose base is Alpine in kind', LIMIT, async (context) => {
  await needTools(context)
  for (const tool of ['musl-gcc', 'make', 'unzip', 'apt-get', 'dpkg-deb']) needTool(await findTool(tool), tool, context)
  const own = await mkdtemp(path.join(folder, 'musl-'))
  const base = await makeMuslBase(path.join(own, 'base'), path.join(import.meta.dirname, '..', '..', '.cache'))
  const bundle = await makeRuntimeBundle(own, { build: ['python_version: "3.11"', `base_image: ${base}`] })
  await expectPass(LONGER, { LAYERWRIGHT_TEST_IMAGE: bundle })
})

async function needTools({ skip }: TestContext): Promise<void> {
  for (const tool of ['umoci', 'runc', 'redis-server']) skip(!(await hasCommand(tool)), `${tool} is not installed`)
  const missing = await whatIsMissing()
  skip(missing !== undefined, missing)
  skip(process.getuid?.() !== 0, 'containers with the network of the host need root')
}

async function expectPass(tests: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  const stdout = await runPytest(await launcherEnvironment(), tests, env)
  expect(stdout).toMatch(/\d+ passed/)
  expect(stdout).not.toMatch(/\b[1-9]\d* (failed|error|skipped)/)
}
