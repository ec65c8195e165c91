import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

// The runtime's own suite (pytest), with other people's clients and with Cog's server as the oracle, in virtual
// environments that are kept under `.cache` and made again when their requirements change.

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const python = process.env['LAYERWRIGHT_TEST_BASE_PYTHON'] ?? 'python3'
const isRequired = process.env['LAYERWRIGHT_INTEROP'] === 'required'

const CLIENTS = [
  'pytest==9.2.0',
  'schemathesis==4.32.5',
  'openapi-spec-validator==0.9.0',
  'replicate==1.0.7',
  'tritonclient[http]==2.73.0',
  'boto3==1.44.5',
  'standardwebhooks',
]
const COG = ['cog==0.23.1', 'coglet==0.23.1']

test('the runtime passes its suite, with other clients and beside Cog', { timeout: 1_800_000 }, async ({ skip }) => {
  const missing = await whatIsMissing()
  if (missing !== undefined) {
    if (isRequired) throw new Error(missing)
    skip(missing)
  }
  const requirements = await readFile(path.join(root, 'python/requirements.in'), 'utf8')
  const lines = requirements.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const launcher = await environment('launcher', [...lines, ...CLIENTS])
  const cog = await environment('cog', COG)
  const env = {
    ...process.env,
    LAYERWRIGHT_TEST_COG_PYTHON: cog,
    LAYERWRIGHT_INTEROP: 'required',
  }
  const { stdout } = await run(launcher, ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'python/tests'], {
    cwd: root,
    env,
    maxBuffer: 1 << 26,
  }).catch((error: unknown) => {
    throw new Error(`pytest failed\n${(error as { stdout?: string }).stdout ?? String(error)}`)
  })
  expect(stdout).toMatch(/\d+ passed/)
  expect(stdout).not.toMatch(/failed|error/)
})

/** A sentence about the first tool that is not here. */
async function whatIsMissing(): Promise<string | undefined> {
  const probes: readonly (readonly [string, readonly string[]])[] = [
    [python, ['-c', 'import sys, venv; assert sys.version_info >= (3, 10)']],
    ['redis-server', ['--version']],
  ]
  for (const [tool, args] of probes) {
    const works = await run(tool, [...args]).then(
      () => true,
      () => false,
    )
    if (!works) return `${tool} is not installed, or too old`
  }
  return undefined
}

/** A virtual environment with these packages; gives its interpreter back. */
async function environment(name: string, packages: readonly string[]): Promise<string> {
  const key = createHash('sha256')
    .update(JSON.stringify([python, packages]))
    .digest('hex')
    .slice(0, 12)
  const folder = path.join(root, '.cache', `venv-${name}-${key}`)
  const interpreter = path.join(folder, 'bin/python')
  const stamp = path.join(folder, 'complete')
  const isComplete = await access(stamp).then(
    () => true,
    () => false,
  )
  if (isComplete) return interpreter
  await mkdir(path.dirname(folder), { recursive: true })
  await run(python, ['-m', 'venv', '--clear', folder])
  await run(interpreter, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages], {
    maxBuffer: 1 << 26,
  })
  await writeFile(stamp, '')
  return interpreter
}
