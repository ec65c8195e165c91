import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { build, planBuild } from '../../src/build.ts'
import { tellUnusedSecrets } from '../../src/build/unused-secrets.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'
import { makeBuildWorld, type BuildWorld } from '../support/build-world.ts'

let folder: string
let world: BuildWorld
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'unused-secrets-'))
  world = await makeBuildWorld(folder)
})
afterAll(async () => {
  await world.close()
  await rm(folder, { recursive: true, force: true })
})

const base = (): string =>
  `build:\n  base_image: "docker://base.example/x:1"\n  python_index: { url: "${world.index.url}" }\n`

test('tellUnusedSecrets() warns of a secret that no step mounts, and names the one that was meant', async () => {
  const step =
    '  run:\n    - command: "true"\n      mounts: [{ type: secret, id: token, target: /run/secrets/token }]\n'
  const project = await world.project(`${base()}${step}run: "run.py:Runner"\n`, 'steps')
  const { plans } = await planBuild({ project, mode: 'auto', format: 'oci' }, world.context)
  const events: ProgressEvent[] = []
  tellUnusedSecrets(['token', 'tokn', 'other'], plans, (event) => void events.push(event))
  expect(events).toEqual([
    {
      type: 'note',
      level: 'warning',
      text: 'The secret `tokn` is given, but no command of cog.yaml mounts it; did you mean `token`?',
      code: 'SECRET_UNUSED',
    },
    {
      type: 'note',
      level: 'warning',
      text: 'The secret `other` is given, but no command of cog.yaml mounts it',
      code: 'SECRET_UNUSED',
    },
  ])
})

test('build() tells of a secret that is given in vain', async () => {
  const project = await world.project(`${base()}run: "run.py:Runner"\n`, 'plain')
  await build(
    { project, mode: 'auto', format: 'oci', secrets: new Map([['lost', { kind: 'file', path: '/dev/null' }]]) },
    async () => [],
    world.context,
  )
  expect(world.events).toContainEqual(expect.objectContaining({ code: 'SECRET_UNUSED', level: 'warning' }))
})
