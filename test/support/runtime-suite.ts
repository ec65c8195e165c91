import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, type TestContext } from 'vitest'
import { launcherEnvironment, runPytest, whatIsMissing } from './runtime-environment.ts'

/** The part of the runtime's suite that depends on the interpreter: not other people's clients, nor a Redis that is killed. */
export const FAST = [
  'python/tests/test_conformance.py',
  'python/tests/test_deviations.py',
  'python/tests/test_launcher.py',
  'python/tests/test_pipelines.py',
  'python/tests/test_queue.py::test_a_job_runs_and_leaves_the_stream',
  'python/tests/test_queue.py::test_a_poison_job_is_a_dead_letter_and_the_queue_goes_on',
  'python/tests/test_queue.py::test_running_and_waiting_jobs_are_canceled',
]

/**
 * Runs the runtime's suite, or a part of it, inside images.
 *
 * @param images gives the variables that name their bundles, which it makes in the folder
 */
export async function expectPassInImages(
  { skip }: Pick<TestContext, 'skip'>,
  tests: readonly string[],
  images: (folder: string) => Promise<Readonly<Record<string, string>>>,
): Promise<void> {
  const missing = await missingForImages()
  skip(missing !== undefined, missing)
  const folder = await mkdtemp(path.join(tmpdir(), 'runtime-image-'))
  try {
    const stdout = await runPytest(await launcherEnvironment(), tests, await images(folder))
    expect(stdout).toMatch(/\d+ passed/)
    expect(stdout).not.toMatch(/\bfailed|\berror/)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A sentence about what is not here for that. @throws Error where nothing may be missing */
async function missingForImages(): Promise<string | undefined> {
  const missing =
    (await whatIsMissing('redis-server', 'umoci', 'runc', 'apt-get', 'dpkg-deb')) ??
    (process.getuid?.() === 0 ? undefined : 'containers with the network of the host need root')
  if (missing !== undefined && process.env['LAYERWRIGHT_INTEROP'] === 'required') throw new Error(missing)
  return missing
}
