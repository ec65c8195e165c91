import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { resolveBuildRequirements, type RequirementsSite } from '../../../src/build/source/requirements.ts'
import { parseRequirement } from '../../../src/python/requirement.ts'
import { parseTargetPlatform } from '../../../src/python/target.ts'
import { startIndex, type LoopbackIndex } from '../../python/loopback-index.ts'
import { offlineSourceContext } from '../../support/source-context.ts'

let folder: string
let index: LoopbackIndex
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'build-requirements-'))
  index = await startIndex(['60', '69.5', '80'].map((version) => ({ name: 'backend', version })))
})
afterEach(async () => {
  await index.close()
  await rm(folder, { recursive: true, force: true })
})

async function resolved(limits?: readonly string[]): Promise<readonly string[]> {
  const context = await offlineSourceContext(folder)
  const site: RequirementsSite = {
    target: { pythonVersion: '3.11.2', ...parseTargetPlatform('linux/amd64') },
    settings: {
      plan: { indexes: [{ url: index.url }], strategy: 'first-index', pins: {} },
      excludeNewer: undefined,
      headers: async () => ({}),
      ...(limits === undefined
        ? {}
        : { buildLimits: limits.map((text) => ({ requirement: parseRequirement(text), origin: 'limits.txt' })) }),
    },
  }
  const packages = await resolveBuildRequirements(['backend>=61'], 'some-package', site, context)
  return packages.map(({ name, version }) => `${name} ${version}`)
}

describe('resolveBuildRequirements()', () => {
  it('takes the newest, or the newest that the constraints of builds allow', async () => {
    expect(await resolved()).toEqual(['backend 80'])
    expect(await resolved(['backend<70', 'other==1'])).toEqual(['backend 69.5'])
  })

  it('says for whose build there is none', async () => {
    await expect(resolved(['backend<61'])).rejects.toMatchObject({
      message: expect.stringContaining('What the build of `some-package` requires cannot be had') as string,
    })
  })
})
