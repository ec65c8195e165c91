import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { afterAll, describe, expect, it } from 'vitest'
import { runCommandLine } from '../../src/cli/main.ts'
import { loadConfig } from '../../src/config/load.ts'
import { initProject } from '../../src/init/init.ts'
import { TEMPLATES } from '../../src/init/templates.ts'
import { makeWorkflow } from '../../src/init/workflow.ts'
import { describeModel } from '../../src/predictor/describe.ts'
import { recordIo } from '../support/output.ts'

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))))

async function emptyFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'init-'))
  folders.push(folder)
  return folder
}

describe('initProject()', () => {
  it.each(Object.keys(TEMPLATES) as (keyof typeof TEMPLATES)[])(
    'makes a %s project that loads without a word',
    async (template) => {
      const folder = await emptyFolder()
      const { created, kept } = await initProject(folder, { template })
      expect(kept).toEqual([])
      expect(created).toEqual(
        expect.arrayContaining(['cog.yaml', 'predict.py', '.dockerignore', '.github/workflows/push.yaml']),
      )
      const { config, warnings } = await loadConfig(folder)
      expect(warnings).toEqual([])
      const model = await describeModel({ projectFolder: folder, run: config.run, train: config.train })
      expect(model.warnings).toEqual([])
      expect(model.predict?.inputs.length).toBeGreaterThan(0)
    },
  )

  it('points editors at a schema that is there', async () => {
    const folder = await emptyFolder()
    await initProject(folder)
    const path = /\$schema=(\S+)/.exec(await readFile(join(folder, 'cog.yaml'), 'utf8'))?.[1] ?? ''
    expect(JSON.parse(await readFile(join(folder, path), 'utf8'))).toMatchObject({ title: 'cog.yaml' })
  })

  it('leaves files that are there as they are', async () => {
    const folder = await emptyFolder()
    await writeFile(join(folder, 'predict.py'), 'mine')
    expect((await initProject(folder)).kept).toEqual(['predict.py'])
    expect(await readFile(join(folder, 'predict.py'), 'utf8')).toBe('mine')
  })

  it('refuses a file in the place of a folder', async () => {
    const place = join(await emptyFolder(), 'file')
    await writeFile(place, '')
    await expect(initProject(place)).rejects.toMatchObject({
      code: 'FILE_UNWRITABLE',
      message: `Cannot write ${join(place, 'cog.yaml')}: EEXIST`,
    })
  })
})

describe('makeWorkflow()', () => {
  interface Step {
    readonly uses?: string
    readonly run?: string
    readonly env?: Readonly<Record<string, string>>
    readonly with?: Readonly<Record<string, unknown>>
  }
  const text = makeWorkflow('1.2.3')
  const { permissions, jobs } = parse(text) as {
    permissions: unknown
    jobs: { push: { permissions: unknown; steps: readonly Step[] } }
  }
  const { steps } = jobs.push

  it('asks for no permission but the two it needs, and for each action by its commit', () => {
    expect(permissions).toEqual({})
    expect(jobs.push.permissions).toEqual({ contents: 'read', packages: 'write' })
    const uses = steps.flatMap((step) => (step.uses === undefined ? [] : [step.uses]))
    expect(uses).toHaveLength(2)
    for (const action of uses) expect(action).toMatch(/^actions\/[\w-]+@[0-9a-f]{40}$/)
    expect(steps[0]?.with).toEqual({ 'persist-credentials': false })
  })

  it('shows the token to the last step alone, and puts nothing of GitHub into a shell', () => {
    const withToken = steps.filter((step) => JSON.stringify(step).includes('secrets.'))
    expect(withToken).toEqual([steps.at(-1)])
    for (const { run = '' } of steps) expect(run).not.toContain('${{')
  })

  it("installs the project's own version by its lock file, else an exact one, without scripts of packages", async () => {
    const [install] = steps.filter(({ run }) => run?.includes('npm'))
    const told = async (hasLock: boolean): Promise<string> => {
      const folder = await emptyFolder()
      const npm = `#!/bin/sh\n[ "$1" = ls ] && exit ${hasLock ? 0 : 1}\necho "$*" >>npm.log\n`
      await writeFile(join(folder, 'npm'), npm, { mode: 0o755 })
      const env = { PATH: `${folder}:/usr/bin:/bin`, RUNNER_TEMP: '/runner', GITHUB_PATH: join(folder, 'path') }
      execFileSync('bash', ['-e', '-c', install?.run ?? 'exit 1'], { cwd: folder, env })
      const added = (await readFile(env.GITHUB_PATH, 'utf8')).replace(await realpath(folder), 'PROJECT')
      return (await readFile(join(folder, 'npm.log'), 'utf8')) + added
    }
    expect(await told(true)).toBe('ci --ignore-scripts\nPROJECT/node_modules/.bin\n')
    expect(await told(false)).toBe(
      'install --prefix /runner/layerwright --ignore-scripts --no-audit layerwright@1.2.3\n/runner/layerwright/node_modules/.bin\n',
    )
  })
})

describe('layerwright init', () => {
  it('prints what it made on stdout and what it kept on stderr', async () => {
    const folder = await emptyFolder()
    await writeFile(join(folder, 'cog.yaml'), '')
    const io = recordIo()
    expect(await runCommandLine(['init', folder, '--no-workflow'], io)).toBe(0)
    expect(
      io.stdout
        .text()
        .split('\n')
        .filter((line) => line !== ''),
    ).toEqual(['requirements.txt', 'predict.py', '.dockerignore', '.layerwright/cog-yaml.schema.json'])
    expect(io.stderr.text()).toContain('cog.yaml is there already')
  })
})

describe('layerwright schema', () => {
  it('prints the schema of cog.yaml', async () => {
    const io = recordIo()
    expect(await runCommandLine(['schema'], io)).toBe(0)
    expect(JSON.parse(io.stdout.text())).toMatchObject({ title: 'cog.yaml', additionalProperties: false })
  })

  it('prints the document of a model', async () => {
    const folder = await emptyFolder()
    await initProject(folder)
    const io = recordIo()
    expect(await runCommandLine(['schema', '--openapi', folder], io)).toBe(0)
    expect(JSON.parse(io.stdout.text())).toMatchObject({ openapi: '3.0.2', paths: { '/predictions': {} } })
  })

  it('ends with the problems of a broken cog.yaml and status 2', async () => {
    const folder = await emptyFolder()
    await writeFile(join(folder, 'cog.yaml'), 'buld: {}\npredct: x\n')
    const io = recordIo()
    expect(await runCommandLine(['schema', '--openapi', folder], io)).toBe(2)
    expect(io.stdout.text()).toBe('')
    expect(io.stderr.text()).toMatch(/did you mean `build`[\s\S]*did you mean `predict`[\s\S]*2 problems/)
  })
})
