import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { runCommandLine } from '../../src/cli/main.ts'
import { startIndex, type LoopbackIndex } from '../python/loopback-index.ts'

let folder = ''
let index: LoopbackIndex
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layerwright-cli-resolve-'))
  index = await startIndex([
    { name: 'app', version: '1.0', requires: ['lib>=1'] },
    { name: 'lib', version: '1.0' },
    { name: 'lib', version: '2.0' },
    { name: 'lib', version: '3.0', tag: 'cp39-cp39-win_amd64' },
  ])
})
afterEach(async () => {
  await index.close()
  await rm(folder, { recursive: true, force: true })
})

describe('layerwright resolve', () => {
  it('prints a pylock.toml', async () => {
    const { status, stdout } = await run('app')
    expect(status).toBe(0)
    expect(stdout).toContain('lock-version = "1.0"')
    expect(stdout.match(/^name = .*$/gm)).toEqual(['name = "app"', 'name = "lib"'])
    expect(stdout).toContain('dependencies = [{ name = "lib" }]')
  })

  it('prints a requirements file and JSON', async () => {
    expect((await run('app', '--format', 'requirements')).stdout).toMatch(
      /^app==1\.0 \\\n {4}--hash=sha256:[0-9a-f]{64}\nlib==2\.0 /,
    )
    const lock = JSON.parse((await run('app', '--format', 'json')).stdout) as { packages: readonly { name: string }[] }
    expect(lock.packages.map(({ name }) => name)).toEqual(['app', 'lib'])
  })

  it('reads files, constraints and projects', async () => {
    await writeFile(join(folder, 'requirements.txt'), '-c limits.txt\napp\n')
    await writeFile(join(folder, 'limits.txt'), 'lib<2\n')
    await writeFile(
      join(folder, 'pyproject.toml'),
      '[project]\nname = "x"\ndependencies = []\n[dependency-groups]\nserve = ["lib==1.0"]\n',
    )
    expect((await run('-r', 'requirements.txt', '--format', 'requirements')).stdout).toContain('lib==1.0')
    expect((await run('-r', 'pyproject.toml', '--group', 'serve', '--format', 'requirements')).stdout).toMatch(
      /^lib==1\.0/,
    )
  })

  it('reads a lock without asking anybody', async () => {
    const { stdout } = await run('app')
    await writeFile(join(folder, 'pylock.toml'), stdout)
    const asked = index.requests.length
    expect((await run('-r', 'pylock.toml', '--format', 'requirements')).stdout).toContain('lib==2.0')
    expect(index.requests.length).toBe(asked)
    expect(await run('-r', 'pylock.toml', 'app')).toMatchObject({ status: 2, stdout: '' })
  })

  it('answers from the cache without the network', async () => {
    const first = await run('app')
    const asked = index.requests.length
    expect((await run('app', '--offline')).stdout).toBe(first.stdout)
    expect(index.requests.length).toBe(asked)
  })

  it('checks no certificate of a host that a requirements file trusts, and every other one', async () => {
    const tls = join(import.meta.dirname, '../../fixtures/tls')
    const [key, cert] = await Promise.all([readFile(join(tls, 'server.key')), readFile(join(tls, 'server.crt'))])
    const server = createServer({ key, cert }, (incoming, outgoing) => {
      const { method, headers } = incoming
      const to = request(new URL(incoming.url ?? '/', index.url), { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(outgoing)
      })
      to.end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const host = `localhost:${(server.address() as AddressInfo).port}`
    try {
      await writeFile(join(folder, 'untrusted.txt'), `-i https://${host}/simple/\nlib==1.0\n`)
      await writeFile(join(folder, 'trusted.txt'), `--trusted-host localhost\n-r untrusted.txt\n`)
      expect(await run('-r', 'untrusted.txt')).toMatchObject({ status: 5, stdout: '' })
      expect((await run('-r', 'trusted.txt', '--format', 'requirements')).stdout).toMatch(/^lib==1\.0/)
      const flag = await run('-r', 'untrusted.txt', '--trusted-host', host, '--refresh', '--format', 'requirements')
      expect(flag.stdout).toMatch(/^lib==1\.0/)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

  it.each([
    ['a conflict', ['app', 'lib<1'], 3, /of which no version exists/],
    ['no fitting wheel', ['lib==3.0'], 3, /has no wheel for Python 3\.12 on x86_64 with glibc 2\.28[^]*win_amd64/],
    ['an unknown package', ['gone'], 3, /which no index has/],
    ['a broken line', ['app=>1'], 2, /arguments:1: Expected/],
    ['a source', ['git+https://example.org/x.git'], 2, /would have to be built/],
    ['an unknown platform', ['app', '--python-platform', 'vax'], 3, /Unknown target platform: `vax`/],
    ['a time that is none', ['app', '--exclude-newer', 'soon'], 2, /Not a time: `soon`/],
  ] as const)('tells %s on stderr, with its exit status', async (_, args, status, message) => {
    const result = await run(...args)
    expect(result).toMatchObject({ status, stdout: '' })
    expect(result.stderr).toMatch(message)
  })
})

async function run(...args: readonly string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const output = { stdout: '', stderr: '' }
  const sink = (
    name: keyof typeof output,
  ): { write: (text: string) => void; isTerminal: boolean; columns: undefined } => ({
    write: (text) => void (output[name] += text),
    isTerminal: false,
    columns: undefined,
  })
  const env = {
    LAYERWRIGHT_CACHE: join(folder, 'cache'),
    HOME: folder,
    UV_INDEX_URL: index.url,
    PIP_CONFIG_FILE: '/dev/null',
  }
  const io = { stdout: sink('stdout'), stderr: sink('stderr'), env, cwd: folder, signal: new AbortController().signal }
  const status = await runCommandLine(['resolve', ...args], io)
  return { status, ...output }
}
