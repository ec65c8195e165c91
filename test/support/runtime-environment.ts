import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { oneAtATime } from '../../src/store/single-flight.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const python = process.env['LAYERWRIGHT_TEST_BASE_PYTHON'] ?? 'python3'

/**
 * Tests wait for servers and timers: two at a time take less than one processor. Two for each leave enough of it to the other
 * file of the interop tests that runs beside them.
 */
const WORKERS = 2 * availableParallelism()

/** Other people's clients, for the runtime's suite. */
const CLIENTS = [
  'pytest==9.2.0',
  'pytest-xdist==3.8.0',
  'schemathesis==4.32.5',
  'openapi-spec-validator==0.9.0',
  'replicate==1.0.7',
  'tritonclient[http]==2.73.0',
  'boto3==1.44.5',
  'standardwebhooks',
  'opentelemetry-sdk==1.44.0',
  'opentelemetry-proto==1.44.0',
]

/** An interpreter with the launcher's packages, pytest and the clients. */
export async function launcherEnvironment(): Promise<string> {
  const requirements = await readFile(path.join(root, 'python/requirements.in'), 'utf8')
  const lines = requirements.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return environment('launcher', [...lines, ...CLIENTS])
}

/** An interpreter with Cog's own server, the oracle. */
export async function cogEnvironment(): Promise<string> {
  return environment('cog', ['cog[tracing]==0.23.1', 'coglet==0.23.1'])
}

/** A sentence about the first tool that is not here. */
export async function whatIsMissing(...tools: readonly string[]): Promise<string | undefined> {
  const probes: readonly (readonly [string, readonly string[]])[] = [
    [python, ['-c', 'import sys, venv; assert sys.version_info >= (3, 10)']],
    ...tools.map((tool) => [tool, ['--version']] as const),
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

/**
 * Runs the runtime's suite; what failed is run once more, by itself.
 *
 * As with the other interop tests: hundreds of servers start here beside other work, some tests reach an index, and a fault of
 * ours fails twice. A second run of everything would have as many chances to fail as the first.
 *
 * @throws Error with pytest's output when a test failed
 */
export async function runPytest(
  interpreter: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const cache = await mkdtemp(path.join(tmpdir(), 'pytest-cache-'))
  const pytest = async (
    ...more: readonly string[]
  ): Promise<{ readonly stdout: string; readonly isPassed: boolean }> => {
    const all = { ...process.env, ...env, LAYERWRIGHT_INTEROP: 'required', PYTHONDONTWRITEBYTECODE: '1' }
    const command = ['-m', 'pytest', '-q', '-o', `cache_dir=${cache}`, ...more, ...args]
    return run(interpreter, command, { cwd: root, env: all, maxBuffer: 1 << 26 }).then(
      ({ stdout }) => ({ stdout, isPassed: true }),
      (error: unknown) => ({ stdout: (error as { stdout?: string }).stdout ?? String(error), isPassed: false }),
    )
  }
  try {
    // Some tests take half a minute: what waits behind one is another worker's.
    const first = await pytest('-n', String(WORKERS), '--dist', 'worksteal')
    if (first.isPassed) return first.stdout
    console.warn(`These are run once more:\n${first.stdout}`)
    const second = await pytest('-n', '0', '--last-failed', '--last-failed-no-failures', 'none')
    if (!second.isPassed) throw new Error(`pytest failed, twice\n${first.stdout}\n${second.stdout}`)
    return [second.stdout, ...(first.stdout.match(/\d+ skipped/g) ?? [])].join('\n')
  } finally {
    await rm(cache, { recursive: true, force: true })
  }
}

/** A virtual environment with these packages, kept under `.cache`; gives its interpreter back. */
async function environment(name: string, packages: readonly string[]): Promise<string> {
  const key = createHash('sha256')
    .update(JSON.stringify([python, packages]))
    .digest('hex')
    .slice(0, 12)
  const folder = path.join(root, '.cache', `venv-${name}-${key}`)
  const interpreter = path.join(folder, 'bin/python')
  const stamp = path.join(folder, 'complete')
  // Several test files ask for it at the same time.
  await oneAtATime(path.join(root, '.cache'), folder, async () => {
    const isComplete = await access(stamp).then(
      () => true,
      () => false,
    )
    if (isComplete) return
    await run(python, ['-m', 'venv', '--clear', folder])
    await run(interpreter, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages], {
      maxBuffer: 1 << 26,
    })
    await writeFile(stamp, '')
  })
  return interpreter
}
