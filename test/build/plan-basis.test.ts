import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { build, planBuild, type BuildRequest, type BuildResult } from '../../src/build.ts'
import { recallBuild, rememberBuild, type BuildIdentity } from '../../src/build/memory.ts'
import { LOCK_FILE, writeLockFile } from '../../src/build/obtain-lock.ts'
import { basisMemory, type BasisMemory } from '../../src/build/plan-basis.ts'
import { stateDigest } from '../../src/build/project-state.ts'
import { memoryDestination, memoryImages } from '../../src/destinations/memory.ts'
import { makeBuildWorld, type BuildWorld } from '../support/build-world.ts'
import { makeWheel } from '../support/wheel.ts'

const wheels = [makeWheel({ name: 'alpha', version: '1.0' }), makeWheel({ name: 'alpha', version: '1.1' })]

let folder: string
let world: BuildWorld
let project: string
let identity: BuildIdentity
let memory: BasisMemory

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plan-basis-'))
  world = await makeBuildWorld(folder, wheels)
  project = await world.project(yaml('alpha==1.0'))
  identity = { project, options: {}, env: {} }
  memory = basisMemory(identity, world.context.store)
})
afterEach(async () => {
  await world.close()
  await rm(folder, { recursive: true })
})

function yaml(requirement: string, more = ''): string {
  const index = `  python_index: { url: "${world.index.url}" }\n  python_packages: ["${requirement}"]\n${more}`
  return `build:\n  base_image: "docker://base.example/base:1"\n${index}run: "run.py:Runner"\n`
}

/** Longer than the clock of a file system needs for a tick: what was written before was not touched meanwhile. */
const settle = (): Promise<void> => delay(60)

async function run(request: Partial<BuildRequest> = {}): Promise<BuildResult> {
  await settle()
  const whole: BuildRequest = { project, mode: 'auto', format: 'oci', memory, ...request }
  return build(whole, async () => [{ destination: memoryDestination(memoryImages(), 'name') }], world.context)
}

const known = () => memory.load(world.context.now())

test('a change of code is planned from what is remembered, and gives what an ordinary build gives', async () => {
  await run()
  await appendFile(join(project, 'run.py'), '# changed\n')
  expect(await known()).toMatchObject({ config: { run: 'run.py:Runner' }, isLockFile: false, projectFolder: project })
  const asked = world.index.requests.length
  const remembered = await run()
  expect(remembered.planned.settings).toBeUndefined()
  expect(world.index.requests).toHaveLength(asked)
  const ordinary = await run({ memory: undefined })
  expect(ordinary.planned.settings).toBeDefined()
  expect(remembered.digest).toBe(ordinary.digest)
})

test('what was said while answers were found is said again', async () => {
  await writeFile(
    join(project, 'cog.yaml'),
    yaml('alpha==1.0', '  gpu: false\n').replace('alpha==1.0"', 'alpha==1.0", "cog==0.23.1"'),
  )
  const said = async (): Promise<readonly unknown[]> => {
    world.events.length = 0
    await run()
    return world.events.filter(({ type }) => type === 'note')
  }
  const first = await said()
  expect(JSON.stringify(first)).toContain('COG_REQUIREMENT')
  expect(await known()).toBeDefined()
  expect(await said()).toEqual(first)
})

test('a remembered basis still finds credentials for what must be fetched again', async () => {
  await run()
  await rm(join(world.context.store.folder, 'blobs'), { recursive: true })
  await appendFile(join(project, 'run.py'), '# changed\n')
  expect((await run()).planned.settings).toBeUndefined()
})

test.each<[string, () => Promise<unknown>]>([
  ['the configuration, by a text of the same length', () => writeFile(join(project, 'cog.yaml'), yaml('alpha==1.1'))],
  ['a lock file that appears', () => writeFile(join(project, LOCK_FILE), '{}')],
  ['the lock of the launcher', () => appendFile(world.context.launcherLock ?? '', '\n')],
  ['settings of uv that appear', () => writeFile(join(folder, 'uv.toml'), 'index-strategy = "unsafe-best-match"\n')],
])('a basis is not believed after a change of %s', async (_, change) => {
  await run()
  expect(await known()).toBeDefined()
  await change()
  expect(await known()).toBeUndefined()
})

test('a basis is not believed when a nearer configuration appears', async () => {
  const inner = join(project, 'inner')
  await mkdir(inner)
  memory = basisMemory({ ...identity, project: inner }, world.context.store)
  await run({ project: inner })
  expect(await known()).toBeDefined()
  await writeFile(join(inner, 'cog.yaml'), yaml('alpha==1.1'))
  expect(await known()).toBeUndefined()
})

test('a basis is believed for ten minutes, that of a lock file for ever', async () => {
  const { planned } = await run()
  expect(await memory.load(world.context.now() + 9 * 60_000)).toBeDefined()
  expect(await memory.load(world.context.now() + 10 * 60_000)).toBeUndefined()
  await writeLockFile(project, planned.lock)
  await run()
  // The build has completed the lock file meanwhile.
  await run()
  expect(await memory.load(world.context.now() + 1e12)).toMatchObject({ isLockFile: true })
})

test('nothing is remembered of a file that was touched while answers were asked for', async () => {
  const { openBase } = world.context
  const touching = async (...args: Parameters<typeof openBase>): ReturnType<typeof openBase> => {
    await writeFile(join(project, 'cog.yaml'), yaml('alpha==1.1'))
    return openBase(...args)
  }
  await settle()
  const request: BuildRequest = { project, mode: 'auto', format: 'oci', memory }
  const planned = await planBuild(request, { ...world.context, openBase: touching })
  expect(planned.files).toBeUndefined()
  expect(await known()).toBeUndefined()
})

test('nothing is remembered of requirements that take variables in', async () => {
  await writeFile(join(project, 'requirements.txt'), 'alpha==${ALPHA}\n')
  await writeFile(
    join(project, 'cog.yaml'),
    yaml('x').replace('  python_packages: ["x"]\n', '  python_requirements: requirements.txt\n'),
  )
  await settle()
  const context = { ...world.context, env: { ALPHA: '1.0' } }
  const planned = await planBuild({ project, mode: 'auto', format: 'oci', memory }, context)
  expect(planned.lock.platforms[0]?.wheels.find(({ name }) => name === 'alpha')?.version).toBe('1.0')
  expect(planned.files).toBeUndefined()
  expect(await known()).toBeUndefined()
})

test('nothing is remembered of a configuration with a password', async () => {
  const url = world.index.url.replace('http://', 'http://user:geheim@')
  await writeFile(join(project, 'cog.yaml'), yaml('alpha==1.0').replace(world.index.url, url))
  await run()
  expect(await known()).toBeUndefined()
})

test('the same build is not recalled after a change of the lock of the launcher', async () => {
  const { planned, image } = await run()
  const { files, state, validUntil } = planned
  if (files === undefined) throw new Error('The files were touched')
  await rememberBuild(identity, world.context.store, {
    validUntil,
    files,
    project: stateDigest(project, state),
    root: image.descriptor,
    blobs: [],
    places: [],
    platforms: [],
  })
  const recall = () => recallBuild(identity, world.context.store, world.context.now(), async () => undefined)
  expect(await recall()).toBeDefined()
  await appendFile(world.context.launcherLock ?? '', '\n')
  expect(await recall()).toBeUndefined()
})

test('answers are asked for again after a change of the lock of the launcher', async () => {
  await run()
  const { launcherLock = '' } = world.context
  await writeFile(launcherLock, (await readFile(launcherLock, 'utf8')).replaceAll('doorman-1.0', 'doorman-9.9'))
  await expect(run()).rejects.toMatchObject({ code: 'WHEEL_NOT_FOUND' })
})
