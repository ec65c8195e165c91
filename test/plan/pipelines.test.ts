import { appendFile, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { planBuild } from '../../src/build.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { isPlannedStep, type Plan } from '../../src/plan/plan.ts'
import { makeFrozenWorld, type FrozenWorld } from '../support/frozen-world.ts'

let folder: string
let project: string
let world: FrozenWorld
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pipelines-'))
  world = await makeFrozenWorld(folder)
  project = join(folder, 'project')
  await cp(join(packageRoot(), 'fixtures/projects/pipelines'), project, { recursive: true })
})
afterAll(async () => {
  await world.close()
  await rm(folder, { recursive: true, force: true })
})

async function plan(): Promise<Plan> {
  const { plans } = await planBuild({ project, mode: 'auto', format: 'oci' }, world.context)
  if (plans[0] === undefined) throw new TypeError('No plan')
  return plans[0]
}

/** Titles of the layers that another plan does not have. */
function changed(one: Plan, other: Plan): readonly string[] {
  const before = new Set(one.layers.map((layer) => JSON.stringify(layer)))
  return other.layers.filter((layer) => !before.has(JSON.stringify(layer))).map(({ title }) => title)
}

/** What the launcher is told. */
function members(plan: Plan): unknown {
  const text = plan.layers.flatMap((layer) =>
    isPlannedStep(layer) || layer.spec.kind !== 'inline' || layer.spec.files === undefined
      ? []
      : layer.spec.files.flatMap((file) =>
          file.path === 'opt/layerwright/app/models.json' && 'text' in file ? [file.text] : [],
        ),
  )
  return JSON.parse(text[0] ?? 'null')
}

test('a changed line of a model changes the layer of the code alone', async () => {
  const before = await plan()
  await appendFile(join(project, 'models.py'), '# one line more\n')
  expect(changed(before, await plan())).toEqual(['project'])
})

test('a changed pipeline changes what the launcher is told, and the cog.yaml in the code', async () => {
  const before = await plan()
  const file = join(project, 'cog.yaml')
  await writeFile(file, (await readFile(file, 'utf8')).replace('limit: 3', 'limit: 4'))
  const after = await plan()
  expect(changed(before, after)).toEqual(['API document', 'project'])
  expect(JSON.stringify(members(before))).toContain('"limit":{"const":3}')
  expect(members(after)).toMatchObject({ version: 1, default: 'main', models: { find: { run: 'models.py:Finder' } } })
  expect(JSON.stringify(members(after))).toContain('"limit":{"const":4}')
})

test('the default is what the label describes, and no variable names a model', async () => {
  const { Labels, Env } = (await plan()).runtime
  const described = JSON.parse(Labels?.['run.cog.openapi_schema'] ?? '') as { readonly paths: object }
  expect(Object.keys(described.paths).filter((path) => path.startsWith('/models'))).toEqual([])
  expect(Env?.filter((text) => text.startsWith('COG_PREDICT_TYPE_STUB'))).toEqual([])
  expect(Env).toContain('COG_TRAIN_TYPE_STUB=models.py:train')
})
