import { mkdtemp, readdir, rm, writeFile, mkdir } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LayerContext } from '../../layers/context.ts'
import { makeLayerStream, type LayerSpec } from '../../layers/kinds/index.ts'
import { collect } from '../../src/core/bytes.ts'
import { openFile } from '../../src/core/file-access.ts'
import { packageRoot } from '../../src/core/package-root.ts'
import { silent } from '../../src/core/progress.ts'
import { hasCommand, mustRun } from '../support/command.ts'

// Small wheels with everything that matters: libraries of their own, scripts, entry points, pure and compiled code.
const REQUIREMENTS = ['numpy==2.2.6', 'pillow==11.3.0', 'fastapi==0.116.1', 'uvicorn==0.35.0', 'pip==25.2']

let folder = ''
let python = ''
let wheels: readonly string[] = []
const layers: { readonly name: string; readonly path: string; readonly diffId: string }[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lw-layers-'))
  await mkdir(join(folder, 'wheels'))
  const { stdout } = await mustRun('python3', [
    '-c',
    'import sys; print(sys.executable, "%d.%d" % sys.version_info[:2], "%d.%d.%d" % sys.version_info[:3])',
  ])
  const [executable = '', minor = '', full = ''] = stdout.trim().split(' ')
  python = minor
  await mustRun(executable, [
    '-m',
    'pip',
    'download',
    '-q',
    '--only-binary',
    ':all:',
    '-d',
    join(folder, 'wheels'),
    ...REQUIREMENTS,
  ])
  wheels = (await readdir(join(folder, 'wheels'))).sort()
  const prefix = join(folder, 'root', 'venv').slice(1)
  for (const filename of wheels)
    await make(filename, { kind: 'wheels', prefix, python: minor, wheels: [await fileOf(filename)] })
  const requested = await Promise.all(wheels.filter((name) => /^(?:numpy|fastapi)-/.test(name)).map(fileOf))
  await make('environment', {
    kind: 'environment',
    prefix,
    python: minor,
    interpreter: executable,
    pythonVersion: full,
    requested,
  })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function fileOf(filename: string) {
  const path = join(folder, 'wheels', filename)
  const source = await openFile(path)
  try {
    const bytes = await collect(source.stream(0, source.sizeBytes), 2 ** 30)
    return {
      filename,
      url: `file://${path}`,
      sizeBytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    }
  } finally {
    await source.close()
  }
}

function contextOf(): LayerContext {
  return { openRemote: ({ url }) => openFile(new URL(url).pathname), projectFolder: folder, report: silent }
}

async function make(name: string, spec: LayerSpec): Promise<void> {
  const stream = await makeLayerStream(spec, contextOf())
  const path = join(folder, `${name}.tar.gz`)
  await writeFile(path, stream.blob)
  layers.push({ name, path, diffId: stream.diffId().slice('sha256:'.length) })
}

describe.each([
  ['gzip', ['-t'], ['-dc']],
  ['pigz', ['-t'], ['-dc']],
  ['unpigz', ['-t'], ['-c']],
  ['igzip', ['-t'], ['-dc']],
])('layers are read by %s', (command, testing, reading) => {
  test('which finds the same tar', async (context) => {
    if (!(await hasCommand(command))) return context.skip(`${command} is not installed`)
    for (const { path, diffId } of layers) {
      await mustRun(command, [...testing, path])
      const { stdout } = await mustRun('sh', ['-c', `${command} ${reading.join(' ')} '${path}' | sha256sum`])
      expect(stdout.split(' ')[0]).toBe(diffId)
    }
  })
})

test('GNU tar and Python list the same members of the layers', async (context) => {
  if (!(await hasCommand('tar'))) return context.skip('tar is not installed')
  const script = 'import sys, tarfile\nfor m in tarfile.open(sys.argv[1]): print(m.name + ("/" if m.isdir() else ""))'
  for (const { path } of layers) {
    const gnu = await mustRun('tar', ['-tzf', path, '--quoting-style=literal'])
    const python = await mustRun('python3', ['-c', script, path])
    expect(python.stdout).toBe(gnu.stdout)
    expect(gnu.stderr).toBe('')
  }
})

test('the built program makes the same layers and checks them on other threads', async () => {
  const name = wheels.find((wheel) => wheel.startsWith('numpy-')) ?? ''
  const out = await mkdtemp(join(folder, 'out-'))
  const script = join(packageRoot(), 'bench/layers/make.mjs')
  const args = [script, join(packageRoot(), 'dist'), out, 'diffid', join(folder, 'wheels', name)]
  const made = JSON.parse((await mustRun(process.execPath, args)).stdout) as {
    readonly threads: boolean
    readonly layers: readonly { readonly diffId: string; readonly digest: string }[]
  }
  const spec: LayerSpec = { kind: 'wheels', prefix: 'opt/venv', python: '3.11', wheels: [await fileOf(name)] }
  const stream = await makeLayerStream(spec, contextOf())
  // A chunk's memory is used again for the next one, so it is hashed while it is there.
  const hash = createHash('sha256')
  for await (const chunk of stream.blob) hash.update(chunk)
  const digest = hash.digest('hex')
  expect(made).toMatchObject({ threads: true, layers: [{ digest, diffId: stream.diffId() }] })
})

describe('an environment put together from layers', () => {
  beforeAll(async () => {
    // The prefix lies below the temporary folder, whose own mode is not the layers' to set.
    const options = ['--no-same-owner', '--no-overwrite-dir']
    for (const { path } of layers) await mustRun('tar', ['-xzf', path, '-C', '/', ...options])
  })
  const run = (args: readonly string[]) => mustRun(join(folder, 'root/venv/bin/python'), args)

  test('is a virtual environment of that interpreter', async () => {
    const { stdout } = await run(['-c', 'import sys; print(sys.prefix != sys.base_prefix, sys.prefix)'])
    expect(stdout.trim()).toBe(`True ${join(folder, 'root/venv')}`)
  })

  test('imports its packages', async () => {
    const { stdout } = await run([
      '-c',
      'import numpy, PIL.Image, fastapi; print(int(numpy.arange(4).sum()), PIL.Image.new("RGB", (2, 2)).size)',
    ])
    expect(stdout.trim()).toBe('6 (2, 2)')
  })

  test('satisfies pip', async () => {
    await run(['-m', 'pip', 'check'])
    const { stdout } = await run(['-m', 'pip', 'list', '--format', 'json'])
    const names = (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name.toLowerCase())
    expect(names).toEqual(expect.arrayContaining(['numpy', 'pillow', 'fastapi', 'pip', 'uvicorn']))
    expect(names).toHaveLength(wheels.length)
  })

  test('has RECORDs that agree with every file, and marks of what was requested', async () => {
    const script = `
import base64, hashlib, importlib.metadata as m, json, pathlib
bad, requested, installers = [], [], set()
listed = set()
for d in m.distributions():
    installers.add(d.read_text('INSTALLER'))
    if d.read_text('REQUESTED') is not None: requested.append(d.name.lower())
    for f in d.files:
        p = pathlib.Path(f.locate()).resolve()
        listed.add(str(p))
        if f.hash is None: continue
        h = base64.urlsafe_b64encode(hashlib.new(f.hash.mode, p.read_bytes()).digest()).rstrip(b'=').decode()
        if h != f.hash.value or p.stat().st_size != f.size: bad.append(str(f))
import sys, sysconfig
on_disk = {str(p.resolve()) for p in pathlib.Path(sysconfig.get_paths()['purelib']).rglob('*') if p.is_file() and '__pycache__' not in p.parts}
print(json.dumps([bad, sorted(requested), sorted(installers), sorted(on_disk - listed)]))
`
    const { stdout } = await run(['-B', '-c', script])
    expect(JSON.parse(stdout)).toEqual([[], ['fastapi', 'numpy'], ['layerwright\n'], []])
  })

  test('has commands that run', async () => {
    const { stdout } = await mustRun(join(folder, 'root/venv/bin/numpy-config'), ['--version'])
    expect(stdout.trim()).toBe('2.2.6')
    await mustRun(join(folder, 'root/venv/bin/uvicorn'), ['--version'])
    await mustRun('sh', [
      '-c',
      `. '${join(folder, 'root/venv/bin/activate')}' && test "$(command -v python)" = '${join(folder, 'root/venv/bin/python')}' && deactivate && test -z "$VIRTUAL_ENV"`,
    ])
  })

  test('has the files that pip installs', async (context) => {
    if (!(await hasCommand('diff'))) return context.skip('diff is not installed')
    const target = join(folder, 'pip-target')
    await mustRun('python3', [
      '-m',
      'pip',
      'install',
      '-q',
      '--no-deps',
      '--no-compile',
      '--target',
      target,
      ...wheels.map((name) => join(folder, 'wheels', name)),
    ])
    const site = join(folder, `root/venv/lib/python${python}/site-packages`)
    const { stdout } = await mustRun('sh', ['-c', `diff -rq '${target}' '${site}' | grep -v __pycache__ || true`])
    // What an installer writes itself differs by right; scripts lie in bin, not below the packages.
    const lines = stdout
      .split('\n')
      .filter((line) => line !== '' && !/INSTALLER|RECORD|REQUESTED|direct_url|: bin$/.test(line))
    expect(lines).toEqual([])
  })

  test('can be uninstalled by pip without a trace', async () => {
    await run(['-m', 'pip', 'uninstall', '-q', '-y', 'fastapi'])
    const left = (await readdir(join(folder, `root/venv/lib/python${python}/site-packages`))).filter((name) =>
      /fastapi/i.test(name),
    )
    expect(left).toEqual([])
  })
})
