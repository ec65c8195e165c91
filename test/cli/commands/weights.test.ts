import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { planBuild } from '../../../src/build.ts'
import { chooseWeights, makeWeights, statusOf } from '../../../src/build/weights.ts'
import { runCommandLine } from '../../../src/cli/main.ts'
import { makeBuildWorld, type BuildWorld } from '../../support/build-world.ts'
import { commitOf, startHub, type Hub } from '../../support/hub.ts'
import { recordIo, type RecordedIo } from '../../support/output.ts'

const model = randomBytes(40_000)

let folder: string
let world: BuildWorld
let hub: Hub
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weights-command-'))
  world = await makeBuildWorld(folder)
  hub = await startHub({ repositories: { 'org/tiny': { main: { 'model.bin': model, 'a.json': Buffer.from('{}') } } } })
  path = await world.project(
    `build:\n  base_image: "docker://base.example/x:1"\n  python_index: { url: "${world.index.url}" }\nrun: "run.py:Runner"\n` +
      'weights:\n  - { name: tiny, target: /src/w, source: { uri: "hf://org/tiny" } }\n' +
      '  - { name: own, target: /src/own, source: { uri: own.bin } }\n',
  )
  await writeFile(join(path, 'own.bin'), model)
})
afterEach(async () => {
  await Promise.all([world.close(), hub.close()])
  await rm(folder, { recursive: true, force: true })
})

const env = (): Record<string, string> => ({ HF_ENDPOINT: hub.url, HOME: folder })

test('weights are absent, then ready when their layers are made, entry by entry', async () => {
  const context = { ...world.context, env: env() }
  const planned = await planBuild({ project: path, mode: 'auto', format: 'oci' }, context)
  const states = async (): Promise<readonly string[]> =>
    (await statusOf(planned, chooseWeights(planned, []), context)).map(({ name, state }) => `${name} ${state}`)
  // The small file was fetched to learn its digest.
  expect(await states()).toEqual(['tiny partial', 'own absent'])
  expect(() => chooseWeights(planned, ['tinny'])).toThrow(/no weights of this name/)
  await makeWeights(planned, chooseWeights(planned, ['tiny']), context)
  const both = await states()
  expect(both[0]).toBe('tiny ready')
  const asked = hub.requests.length
  await makeWeights(planned, chooseWeights(planned, []), context)
  expect(await states()).toEqual(['tiny ready', 'own ready'])
  expect(hub.requests).toHaveLength(asked)
})

test('status, import and pull work from a lock file, and --json is for programs', async () => {
  const context = { ...world.context, env: env() }
  const { lock } = await planBuild({ project: path, mode: 'auto', format: 'oci' }, context)
  await writeFile(join(path, 'layerwright.lock'), JSON.stringify(lock))
  const run = async (...args: string[]): Promise<RecordedIo & { status: number }> => {
    const io = recordIo({ cwd: path, env: { ...env(), LAYERWRIGHT_CACHE: join(folder, 'store') } })
    return { ...io, status: await runCommandLine(['weights', ...args], io) }
  }
  const status = await run('status', '--json')
  expect([status.status, status.stderr.text()]).toEqual([0, ''])
  expect(JSON.parse(status.stdout.text())).toMatchObject([
    { name: 'tiny', target: '/src/w', sizeBytes: model.length + 2, sources: [{ revision: commitOf('main') }] },
    { name: 'own', state: 'absent' },
  ])
  const pulled = await run('pull', 'tiny', '-v')
  expect(pulled.stdout.text()).toMatch(/^tiny {2}ready {2}2 files, 40\.0 kB {2}\/src\/w\n {2}sha256:[0-9a-f]{64}\n/)
  expect(pulled.stdout.text()).toContain('model.bin  40.0 kB  sha256:')
  expect((await run('pull', 'nothing')).status).toBe(2)
  expect(await readFile(join(path, 'layerwright.lock'), 'utf8')).toBe(JSON.stringify(lock))
})
