import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeConfig } from '../../src/config/make-config.ts'
import type { CogYaml } from '../../src/config/schema.ts'
import { BuildError, EXIT, exitStatus, type ErrorCode } from '../../src/core/errors.ts'
import type { Http } from '../../src/core/http.ts'
import type { LockedPlatform } from '../../src/lock/lock.ts'
import { parseLock } from '../../src/lock/parse-lock.ts'
import { draftBase } from '../../src/resolve/base.ts'
import type { BaseDraft } from '../../src/resolve/base-draft.ts'
import type { ResolveContext } from '../../src/resolve/context.ts'
import { answerEnvironment } from '../../src/resolve/environment.ts'
import { archiveFor, chooseInterpreter } from '../../src/resolve/interpreter.ts'
import { makeFrozenWorld, type FrozenWorld } from '../support/frozen-world.ts'

/** What every way to a base holds to, whatever it is made of. */
const PROVIDERS: readonly (readonly [name: string, build: CogYaml['build'], expected: RegExp])[] = [
  ['debian', {}, /^debian bookworm$/],
  ['debian trixie', { python_version: '3.13' }, /^debian trixie$/],
  ['slim', { gpu: true, base: 'slim' }, /^debian bookworm$/],
  ['cuda', { gpu: true }, /^docker:\/\/docker\.io\/nvidia\/cuda:12\.\d+\.\d+-base-ubuntu\d+\.04$/],
  ['cuda, stated', { gpu: true, cuda: '12.4', python_version: '3.11' }, /nvidia\/cuda:12\.4\.1-/],
  ['python-slim', { base: 'python-slim', python_version: '3.12' }, /^docker:\/\/python:3\.12-slim$/],
  ['custom', { base_image: 'registry.example.test/team/base:v3' }, /registry\.example\.test\/team\/base:v3$/],
  ['layout', { base_image: 'oci:base:latest', interpreter: 'base' }, /^oci:.*base:latest$/],
]
const platform: LockedPlatform = { os: 'linux', architecture: 'amd64' }

let folder: string
let world: FrozenWorld
let context: ResolveContext
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bases-'))
  world = await makeFrozenWorld(folder)
  const { store } = world.context
  context = { ...world.context, cache: (space) => store.cache(space), projectFolder: folder }
})
afterAll(async () => {
  await world.close()
  await rm(folder, { recursive: true, force: true })
})

function draft(build: CogYaml['build']): Promise<BaseDraft> {
  const config = makeConfig({ build, run: 'run.py:Runner' })
  return draftBase({ config, platform, environment: answerEnvironment(config, []) }, context)
}

describe.each(PROVIDERS)('the base %s', (_, build, expected) => {
  it('knows interpreter and C library before any wheel is', async () => {
    const { interpreter, libc } = await draft(build)
    expect(interpreter.version).toMatch(/^3\.\d+\.\d+/)
    expect(interpreter.executable).toMatch(/^\/.*\/python3\.\d+$/)
    expect(libc.kind).toBe('glibc')
    expect(libc.minor).toBeGreaterThan(26)
    if (build?.python_version !== undefined) expect(interpreter.version.startsWith(build.python_version)).toBe(true)
  })

  it('is pinned by digest, and says what was chosen and why', async () => {
    const { base, choices } = await (await draft(build)).complete([])
    if (base.kind === 'image') {
      expect(base.manifest.digest).toMatch(/^sha256:[0-9a-f]{64}$/)
      expect(base.layers.length).toBe(base.config.rootfs.diff_ids.length)
    } else for (const deb of base.packages.packages) expect(deb.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(choices.find(({ key }) => key === 'base')?.value).toMatch(expected)
    expect(choices.every(({ reason }) => reason.length > 5)).toBe(true)
    expect(choices.map(({ key }) => key)).toContain('python')
  })

  it('gives the same answer twice, which a lock file keeps whole', async () => {
    const first = await draft(build)
    const [one, two] = [await first.complete([]), await (await draft(build)).complete([])]
    expect(JSON.stringify(two)).toBe(JSON.stringify(one))
    const { interpreter, libc } = first
    const { base, choices } = one
    const locked = { platform, base, interpreter, libc, wheels: [], launcher: [], choices }
    const lock = { lockVersion: 1, inputs: `sha256:${'0'.repeat(64)}`, platforms: [locked] }
    expect(parseLock(JSON.stringify(lock), 'the lock').platforms[0]).toEqual(JSON.parse(JSON.stringify(locked)))
  })
})

describe('system packages', () => {
  it.each(PROVIDERS.filter(([name]) => !/layout|custom/.test(name)))('are resolved against %s', async (_, build) => {
    const { base, systemPackages } = await (await draft({ ...build, system_packages: ['gcc'] })).complete([])
    const packages = base.kind === 'debian' ? base.packages.packages : (systemPackages?.packages ?? [])
    expect(packages.map(({ package: name }) => name)).toContain('gcc')
  })
})

it('chooseInterpreter() takes the Python of a musl base, and lays none that needs glibc on it', async () => {
  const { build } = makeConfig({ build: {}, run: 'run.py:Runner' })
  const libc = { kind: 'musl', major: 1, minor: 2 } as const
  const found = [{ version: '3.12.4', executable: '/usr/local/bin/python3.12' }]
  const request = { build, platform, version: '3.12', found, libc }
  expect(await chooseInterpreter(request, context)).toMatchObject({ kind: 'base', version: '3.12.4' })
  await expect(chooseInterpreter({ ...request, version: '3.13' }, context)).rejects.toMatchObject({
    code: 'INTERPRETER_NOT_FOUND',
    message: expect.stringContaining('musl') as string,
  })
})

describe('archiveFor(), where the interpreter cannot be had, fails as', () => {
  const url = 'https://mirror.example.test/cpython-3.12.4.tar.gz'
  const { build } = makeConfig({
    build: { interpreter: { url, sha256: '0'.repeat(64) }, python_version: '3.12' },
    run: 'run.py:Runner',
  })
  const answer = (status: number, headers: Readonly<Record<string, string>> = {}): Http => {
    const body: readonly Uint8Array[] = []
    return async () => ({
      status,
      url,
      header: (name) => headers[name],
      body: (async function* () {
        yield* body
      })(),
      bytes: async () => Buffer.alloc(0),
      discard: async () => {},
    })
  }
  const failing = (code: ErrorCode): Http => {
    return () => Promise.reject(new BuildError(code, 'Nobody answers'))
  }

  it.each([
    ['what it is, where the server says so', answer(404), 'INTERPRETER_NOT_FOUND', EXIT.unsatisfied, 'status 404'],
    ['what it is, where no size is told', answer(200), 'INTERPRETER_NOT_FOUND', EXIT.unsatisfied, 'no size'],
    ['worth a retry, where the server is unwell', answer(503), 'ARCHIVE_UNAVAILABLE', EXIT.retry, 'status 503'],
    ['worth a retry, where the network fails', failing('NETWORK_FAILED'), 'NETWORK_FAILED', EXIT.retry, 'no answer'],
    ['refused, where the network is', failing('NETWORK_REFUSED'), 'NETWORK_REFUSED', EXIT.failed, 'no answer'],
    ['interrupted, where the user is', failing('INTERRUPTED'), 'INTERRUPTED', EXIT.interrupted, ''],
  ] as const)('%s', async (_, http, code, status, words) => {
    const request = { build, platform, version: '3.12', found: [] }
    const error: unknown = await archiveFor(request, { ...context, http }).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code, message: expect.stringContaining(words) as string })
    expect(exitStatus(error)).toBe(status)
  })
})
