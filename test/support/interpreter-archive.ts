import { createHash } from 'node:crypto'
import { access, constants, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mustRun } from './command.ts'

const DEBIAN_PYTHON = '/usr/bin/python3'

/** A stand-in for a relocatable CPython build, made from the Python of this machine. */
export interface InterpreterStandIn {
  /** Full version. */
  readonly version: string
  /** A list for `LAYERWRIGHT_INTERPRETERS` that names the archive. */
  readonly list: string
}

/**
 * Packs the machine's Python in the layout of a relocatable build: `python/bin`, `python/lib/python3.X`.
 *
 * Debian's own is taken where it is: it is one file that finds its library beside itself, wherever it lies.
 */
export async function makeInterpreterArchive(folder: string): Promise<InterpreterStandIn> {
  const ask = 'import sys, platform; print(sys.base_prefix); print(platform.python_version())'
  const python = (await isExecutable(DEBIAN_PYTHON)) ? DEBIAN_PYTHON : 'python3'
  const { stdout } = await mustRun(python, ['-I', '-c', ask])
  const [prefix = '', version = ''] = stdout.trim().split('\n')
  const minor = version.split('.').slice(0, 2).join('.')
  const archive = join(folder, `cpython-${version}-stand-in.tar.gz`)
  await mustRun('tar', [
    'czf',
    archive,
    '--transform=s,^,python/,',
    '--exclude=__pycache__',
    `--exclude=lib/python${minor}/test`,
    `--exclude=lib/python${minor}/site-packages`,
    `--exclude=lib/python${minor}/config-*`,
    '-C',
    prefix,
    `bin/python${minor}`,
    `lib/python${minor}`,
  ])
  const sha256 = createHash('sha256')
    .update(await readFile(archive))
    .digest('hex')
  const list = join(folder, 'interpreters.json')
  await writeFile(list, JSON.stringify([{ version, architecture: 'amd64', url: `file://${archive}`, sha256 }]))
  return { version, list }
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
