import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { mustRun } from '../support/command.ts'
import { launcherEnvironment, runPytest, whatIsMissing } from '../support/runtime-environment.ts'

// The runtime's suite once more, inside an image: built by this program on a composed base, unpacked by umoci, started by
// runc with the image's own entry point, as a uid that is in no passwd file, on a read-only root, without capabilities.

const root = path.join(import.meta.dirname, '..', '..')
const folder = await mkdtemp(path.join(tmpdir(), 'runtime-image-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

test('the runtime passes its suite inside an image, as any uid', { timeout: 1_800_000 }, async ({ skip }) => {
  const missing =
    (await whatIsMissing('redis-server', 'umoci', 'runc')) ??
    (process.getuid?.() === 0 ? undefined : 'containers with the network of the host need root')
  if (missing !== undefined) {
    if (process.env['LAYERWRIGHT_INTEROP'] === 'required') throw new Error(missing)
    skip(missing)
  }
  const project = path.join(folder, 'project')
  await mkdir(project)
  await writeFile(path.join(project, 'cog.yaml'), 'build:\n  python_version: "3.11"\nrun: "predict.py:Predictor"\n')
  await writeFile(
    path.join(project, 'predict.py'),
    'from cog import BasePredictor\n\n\nclass Predictor(BasePredictor):\n    def predict(self) -> str:\n        return ""\n',
  )
  const layout = path.join(folder, 'layout')
  await mustRun(
    process.execPath,
    [path.join(root, 'bin/layerwright.mjs'), 'build', project, '--refresh', '-o', `oci:${layout}:v1`],
    {
      env: { LAYERWRIGHT_CACHE: path.join(root, '.cache/interop-store') },
    },
  )
  const bundle = path.join(folder, 'bundle')
  await mustRun('umoci', ['unpack', '--image', `${layout}:v1`, bundle])

  const stdout = await runPytest(await launcherEnvironment(), ['python/tests'], { LAYERWRIGHT_TEST_IMAGE: bundle })

  expect(stdout).toMatch(/\d+ passed/)
  expect(stdout).not.toMatch(/failed|error/)
})
