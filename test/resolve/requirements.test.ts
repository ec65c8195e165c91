import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import { silent } from '../../src/core/progress.ts'
import { formatRequirement } from '../../src/python/requirement.ts'
import { readRequirements } from '../../src/resolve/requirements.ts'

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))))

const PYPROJECT = `[project]
name = "model"
version = "1.0"
requires-python = ">=3.11.4,<3.13"
dependencies = ["numpy>=2", "cog"]

[project.optional-dependencies]
gpu = ["torch==2.7.1"]

[dependency-groups]
serve = ["pillow"]
`

/** The requirements of a project whose pyproject.toml is the one above. */
async function read(build: string): Promise<readonly string[]> {
  const projectFolder = await mkdtemp(join(tmpdir(), 'requirements-'))
  folders.push(projectFolder)
  await writeFile(join(projectFolder, 'pyproject.toml'), PYPROJECT)
  const { config } = parseConfig(`build:\n  python_requirements: pyproject.toml\n${build}`)
  const http = () => Promise.reject(new TypeError('nothing is asked for'))
  const { requirements } = await readRequirements(config, { projectFolder, env: {}, http, report: silent })
  return requirements.map(({ requirement }) => formatRequirement(requirement))
}

describe('readRequirements() of a pyproject.toml', () => {
  it('takes the dependencies, without the package that the image brings', async () => {
    expect(await read('')).toEqual(['numpy>=2'])
  })

  it('adds the extras and groups that cog.yaml names', async () => {
    expect(await read('  extras: [gpu]\n  groups: [serve]\n')).toEqual(['numpy>=2', 'torch==2.7.1', 'pillow'])
  })

  it('refuses an extra that is not there', async () => {
    await expect(read('  extras: [gpus]\n')).rejects.toThrow(/gpus/)
  })

  it.each(['3.11', '3.12', '3.11.4', '3.12.99'])('admits Python %s', async (version) => {
    expect(await read(`  python_version: "${version}"\n`)).toEqual(['numpy>=2'])
  })

  it.each(['3.10', '3.13', '3.11.3'])('refuses Python %s', async (version) => {
    await expect(read(`  python_version: "${version}"\n`)).rejects.toThrow(/requires Python .*; cog\.yaml states/)
  })
})
