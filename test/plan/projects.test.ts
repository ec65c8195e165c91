import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { planBuild } from '../../src/build.ts'
import { BuildError } from '../../src/core/errors.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { makeFrozenWorld, type FrozenWorld } from '../support/frozen-world.ts'

const folder = join(packageRoot(), 'fixtures/projects')
const goldens = join(packageRoot(), 'fixtures/plans')
const names = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

let temporary: string
let world: FrozenWorld
beforeAll(async () => {
  temporary = mkdtempSync(join(tmpdir(), 'plans-'))
  world = await makeFrozenWorld(temporary)
})
afterAll(async () => {
  await world.close()
  rmSync(temporary, { recursive: true, force: true })
})

/** The whole plan of a project against a world that never changes, or the error that it ends in. */
async function outcome(name: string): Promise<unknown> {
  try {
    const { plans } = await planBuild({ project: join(folder, name), mode: 'auto', format: 'oci' }, world.context)
    return plans
  } catch (error) {
    if (!(error instanceof BuildError)) throw error
    const { code, message, hint } = error
    return { code, message, ...(hint === undefined ? {} : { hint }) }
  }
}

/** What changes with this program and not with the project is named and not repeated. */
function settled(value: unknown): string {
  const text = JSON.stringify(
    value,
    (key, member: unknown) => {
      if (key === 'run.cog.version' || key === 'run.layerwright.version') return '(version)'
      if (key === 'run.cog.openapi_schema') return '(the OpenAPI document)'
      // Of the commit that the tests stand on, if there is one.
      if (key === 'org.opencontainers.image.revision' || key === 'org.opencontainers.image.version') return undefined
      if (key === 'text' && typeof member === 'string' && member.startsWith('{"openapi"'))
        return '(the OpenAPI document)'
      if (key === 'text' && typeof member === 'string' && member.startsWith('{"version"'))
        return '(models and pipelines)'
      if (key === 'parts') return '(the files of this program)'
      // The other golden of the project is no part of it.
      if (key === 'files' && Array.isArray(member))
        return member.filter((file: { readonly path?: string }) => file.path !== 'expected.json')
      return member
    },
    2,
  )
  return `${text.replaceAll(packageRoot(), '(root)')}\n`
}

describe('whole plans of fixture projects', () => {
  it('are at least 20, of every base', () => {
    const plans = names.map((name) => readFileSync(join(goldens, `${name}.json`), 'utf8'))
    expect(plans.filter((text) => text.startsWith('[')).length).toBeGreaterThanOrEqual(20)
    for (const base of ['nvidia/cuda', 'python:3', '"debs"', 'oci:base', 'registry.example.test'])
      expect(plans.some((text) => text.includes(base))).toBe(true)
  })

  it.each(names)('%s', async (name) => {
    const file = join(goldens, `${name}.json`)
    const text = settled(await outcome(name))
    if (process.env['UPDATE_GOLDENS'] === '1') writeFileSync(file, text)
    expect(text).toBe(readFileSync(file, 'utf8'))
  })
})
