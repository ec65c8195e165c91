// Runs the fast part of the runtime's own tests: in a virtual environment with the launcher's packages and pytest, which
// is kept under .cache/ and made again when those change.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const PYTEST = ['pytest==9.2.0', 'pytest-xdist==3.8.0']
// Most tests wait for a server that starts, each for its own.
const WORKERS = availableParallelism() + 1
const base = process.env.LAYERWRIGHT_TEST_BASE_PYTHON ?? 'python3'

const probe = spawnSync(base, ['-c', 'import sys, venv; print(sys.version); sys.exit(sys.version_info < (3, 10))'], {
  encoding: 'utf8',
})
if (probe.status !== 0) {
  console.error(`The tests of the runtime need Python 3.10 or newer with venv; \`${base}\` is not that.`)
  console.error('Set LAYERWRIGHT_TEST_BASE_PYTHON to one.')
  process.exit(1)
}

const requirements = readFileSync('python/requirements.in', 'utf8')
const key = createHash('sha256')
  .update(JSON.stringify([probe.stdout, requirements, PYTEST]))
  .digest('hex')
  .slice(0, 12)
const folder = join('.cache', `venv-unit-${key}`)
const python = join(folder, 'bin', 'python')
const stamp = join(folder, 'complete')

if (!existsSync(stamp)) {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync('.cache', { recursive: true })
  run(base, ['-m', 'venv', folder])
  run(python, ['-m', 'pip', 'install', '-q', '-r', 'python/requirements.in', ...PYTEST])
  writeFileSync(stamp, '')
}

const report = process.env.LAYERWRIGHT_PYTHON_REPORT
const reporting = report === undefined ? [] : [`--junitxml=${report}`]
run(python, [
  '-m',
  'pytest',
  '-q',
  '-p',
  'no:cacheprovider',
  '-m',
  'not interop',
  '-n',
  String(WORKERS),
  ...reporting,
  'python/tests',
])

function run(command, args) {
  const { status } = spawnSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  })
  if (status !== 0) process.exit(status ?? 1)
}
