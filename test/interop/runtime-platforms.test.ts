import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test, type TestContext } from 'vitest'
import { hasCommand } from '../support/command.ts'
import { emulate, makeRuntimeBundle } from '../support/runtime-bundle.ts'
import { launcherEnvironment, runPytest, whatIsMissing } from '../support/runtime-environment.ts'
import { findTool, needTool } from '../support/tool.ts'

// The runtime inside images for what this machine is not: another architecture, another C library. Each starts by its
// image's entry point as any uid on a read-only root, as in runtime-image.test.ts; here a part of the suite is enough.

const LIMIT = { timeout: 1_800_000 }
/** Each kind of work that meets the machine: validation in Rust, processes, files, streams, tensors, the queue. */
const SHORT = [
  'python/tests/test_conformance.py::test_types_of_inputs_and_object_outputs[launcher]',
  'python/tests/test_conformance.py::test_server_sent_events[launcher]',
  'python/tests/test_launcher.py::test_open_inference_protocol',
  'python/tests/test_queue.py::test_a_job_runs_and_leaves_the_stream',
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
