import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mustRun, runCommand, type Finished } from '../support/command.ts'
import { findTool, needTool } from '../support/tool.ts'

/*
 * Packages that nobody published a wheel of, from the real index: built in the sandbox, laid as layers, and asked for a
 * prediction.
 */

const root = join(import.meta.dirname, '..', '..')
const cache = join(root, '.cache', 'interop-store')
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sources-'))
  await mkdir(cache, { recursive: true })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const cli = (args: readonly string[], store = cache): Promise<Finished> =>
  runCommand(process.execPath, [join(root, 'bin', 'layerwright.mjs'), ...args], {
    cwd: root,
    env: { LAYERWRIGHT_CACHE: store },
  })

async function ok(args: readonly string[], store?: string): Promise<string> {
  const { status, stdout, stderr } = await cli(args, store)
  expect(status, stderr).toBe(0)
  return stdout.trim()
}

interface Project {
  readonly requirements: string
  readonly imports: string
  readonly result: string
  readonly build?: string
}

async function makeProject(name: string, { requirements, imports, result, build = '' }: Project): Promise<string> {
  const project = join(folder, name)
  await mkdir(project)
  await writeFile(join(project, 'requirements.txt'), requirements)
  await writeFile(
    join(project, 'cog.yaml'),
    `build:\n  python_version: "3.11"\n  python_requirements: requirements.txt\n${build}run: "run.py:Runner"\n`,
  )
  const code = ['from cog import BaseRunner', imports, '', '', 'class Runner(BaseRunner):', '    def run(self) -> str:']
  await writeFile(join(project, 'run.py'), [...code, `        return f"${result}"`, ''].join('\n'))
  return project
}

describe('a pure package of the index that has only a source', () => {
  const requirements = 'docopt==0.6.2\n'
  const parts = { requirements, imports: 'import docopt', result: '{docopt.__version__}' }

  test('is built, laid and imported; the same build again finds the wheel', async () => {
    const project = await makeProject('pure', parts)
    const layout = `oci:${join(folder, 'pure-image')}`
    const digest = await ok(['build', project, '-o', layout, '-q'])
    expect(await ok(['predict', layout, '-q'])).toBe('0.6.2')
    await writeFile(join(project, 'note.txt'), 'another build')
    const again = await cli(['build', project, '-o', layout, '--json'])
    expect(again.stderr).toContain('cached  build docopt 0.6.2')
    expect(digest).toMatch(/^sha256:/)
  })

  test('gives the same image when it is built in another place from nothing but the lock', async () => {
    const project = await makeProject('locked', parts)
    await ok(['lock', project, '-q'])
    const lock = JSON.parse(await readFile(join(project, 'layerwright.lock'), 'utf8')) as {
      readonly platforms: readonly {
        readonly wheels: readonly { readonly name: string; readonly source?: unknown }[]
      }[]
    }
    expect(lock.platforms[0]?.wheels.find(({ name }) => name === 'docopt')).toMatchObject({
      filename: 'docopt-0.6.2.tar.gz',
      sha256: '49b3a825280bd66b3aa83585ef59c4a8c82f2c8a522dbe754a8bc8d08c85c491',
      source: { place: { kind: 'archive' } },
    })
    const copy = join(folder, 'locked-copy', 'locked')
    await cp(project, copy, { recursive: true })
    const first = await ok(['build', project, '--locked', '-q', '-o', `oci:${join(folder, 'locked-1')}`])
    const store = join(folder, 'other-store')
    const second = await ok(['build', copy, '--locked', '-q', '-o', `oci:${join(folder, 'locked-2')}`], store)
    expect(second).toBe(first)
  })

  test('is refused with --no-build, and for a platform that cannot run here', async () => {
    const project = await makeProject('refused', parts)
    const refused = await cli(['build', project, '--no-build', '-o', `oci:${join(folder, 'never')}`])
    expect(refused.status).toBe(3)
    expect(refused.stderr).toContain('WHEEL_NOT_FOUND')
    expect(refused.stderr).toContain('docopt')
    const foreign = process.arch === 'arm64' ? 'linux/amd64' : 'linux/arm64'
    const other = await cli(['build', project, '--platform', foreign, '-o', `oci:${join(folder, 'never')}`])
    expect(other.status).toBe(1)
    expect(other.stderr).toMatch(/Programs for linux\/\w+ cannot run on this linux\/\w+ machine/)
  })
})

test('what a build requires is built first when it has no wheel, also from nothing but the lock', async () => {
  const project = await makeProject('nested', {
    requirements: './library\n',
    imports: 'import nested',
    result: '{nested.MADE_WITH}',
  })
  await mkdir(join(project, 'library'))
  await writeFile(
    join(project, 'library', 'pyproject.toml'),
    '[build-system]\nrequires = ["setuptools", "docopt==0.6.2"]\nbuild-backend = "setuptools.build_meta"\n',
  )
  // Written while building: what is there then, and not in the image.
  const setup = [
    'import docopt',
    'from setuptools import setup',
    'open("nested.py", "w").write(f"MADE_WITH = {docopt.__version__!r}\\n")',
    'setup(name="nested", version="1", py_modules=["nested"])',
  ]
  await writeFile(join(project, 'library', 'setup.py'), setup.join('\n'))
  await ok(['lock', project, '-q'])
  const lock = JSON.parse(await readFile(join(project, 'layerwright.lock'), 'utf8')) as {
    readonly platforms: readonly { readonly wheels: readonly { readonly name: string }[] }[]
  }
  expect(lock.platforms[0]?.wheels.find(({ name }) => name === 'docopt')).toBeUndefined()
  expect(JSON.stringify(lock)).toContain('docopt-0.6.2.tar.gz')
  const layout = `oci:${join(folder, 'nested-image')}`
  await ok(['build', project, '--locked', '-o', layout, '-q'])
  expect(await ok(['predict', layout, '-q'])).toBe('0.6.2')
  expect((await cli(['exec', '-q', '--image', layout, '--', 'python', '-c', 'import docopt'])).status).toBe(1)
})

test('a package with C code is built when system_packages bring a compiler, else the error names what is missing', async () => {
  const parts = { requirements: 'netifaces==0.11.0\n', imports: 'import netifaces', result: '{netifaces.version}' }
  const bare = await cli(['build', await makeProject('bare', parts), '-o', `oci:${join(folder, 'never')}`])
  expect(bare.status).toBe(1)
  expect(bare.stderr).toContain('`netifaces 0.11.0` could not be built from its source')
  expect(bare.stderr).toContain('add `build-essential` to build.system_packages')
  const build = '  system_packages: [gcc, libc6-dev, python3-dev]\n'
  const layout = `oci:${join(folder, 'native-image')}`
  await ok(['build', await makeProject('native', { ...parts, build }), '-o', layout, '-q'])
  expect(await ok(['predict', layout, '-q'])).toBe('0.11.0')
})

test('a repository at a commit and a folder are built, and the folder again when it changes', async (context) => {
  needTool(await findTool('git'), 'git', context)
  const repository = join(folder, 'repository')
  await mkdir(repository)
  const git = (...args: string[]): Promise<Finished> =>
    mustRun('git', ['-C', repository, '-c', 'user.name=a', '-c', 'user.email=a@b.c', ...args])
  await git('init', '--quiet')
  await writeFile(
    join(repository, 'setup.py'),
    'from setuptools import setup\nsetup(name="from-git", version="2.1", py_modules=["from_git"])\n',
  )
  await writeFile(join(repository, 'from_git.py'), 'X = 3\n')
  await git('add', '.')
  await git('commit', '--quiet', '-m', 'one')
  await git('tag', 'v2.1')
  const project = await makeProject('places', {
    requirements: `git+file://${repository}@v2.1\n./library[more]\n`,
    imports: 'import from_git\nimport greeting\nimport six',
    result: '{from_git.X} {greeting.WORD} {bool(six)}',
  })
  await mkdir(join(project, 'library'))
  await writeFile(
    join(project, 'library', 'pyproject.toml'),
    '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n[project]\nname = "greeting"\nversion = "1"\ndescription = "x"\n[project.optional-dependencies]\nmore = ["six"]\n',
  )
  await writeFile(join(project, 'library', 'greeting.py'), 'WORD = "one"\n')
  const layout = `oci:${join(folder, 'places-image')}`
  await ok(['build', project, '-o', layout, '-q'])
  expect(await ok(['predict', layout, '-q'])).toBe('3 one True')
  await writeFile(join(project, 'library', 'greeting.py'), 'WORD = "two"\n')
  await ok(['build', project, '-o', layout, '-q'])
  expect(await ok(['predict', layout, '-q'])).toBe('3 two True')
  await ok(['lock', project, '-q'])
  const lock = await readFile(join(project, 'layerwright.lock'), 'utf8')
  const { stdout } = await git('rev-parse', 'HEAD')
  expect(lock).toContain(`"commit": "${stdout.trim()}"`)
  expect(lock).toContain('"path": "library"')
})
