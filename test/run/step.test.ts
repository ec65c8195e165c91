import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { packageRoot } from '../../src/core/package-root.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { append } from '../../src/cli/append.ts'
import { parseEnvironment, parseVolume } from '../../src/cli/run-options.ts'
import { openImageArchive } from '../../src/run/image-archive.ts'
import { runName } from '../../src/run/run-name.ts'
import { makeProbeImage } from '../../src/run/probe-image.ts'
import { selectBackend } from '../../src/run/select-backend.ts'
import { assertRunnable } from '../../src/run/runnable.ts'
import { stepNetwork } from '../../src/run/step-network.ts'
import { readEntries } from '../../src/run/unpack/tar-entries.ts'

const folder = mkdtempSync(join(tmpdir(), 'lw-step-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('assertRunnable()', () => {
  const binfmt = join(folder, 'binfmt')
  mkdirSync(binfmt)
  writeFileSync(join(binfmt, 'qemu-aarch64'), 'enabled\ninterpreter /usr/bin/qemu\nflags: OCF\n')
  writeFileSync(join(binfmt, 'qemu-s390x'), 'enabled\ninterpreter /usr/bin/qemu\nflags: \n')
  writeFileSync(join(binfmt, 'qemu-riscv64'), 'disabled\ninterpreter /usr/bin/qemu\nflags: F\n')

  test.each([
    ['linux/amd64', 'x64', true],
    ['linux/arm64', 'arm64', true],
    ['linux/arm64', 'x64', true],
    ['linux/amd64', 'arm64', false],
    ['linux/s390x', 'x64', false],
    ['linux/riscv64', 'x64', false],
    ['windows/amd64', 'x64', false],
  ])('%s on %s: %s', (platform, arch, runs) => {
    const [os = '', architecture = ''] = platform.split('/')
    const call = (): void => assertRunnable({ os, architecture }, arch, binfmt)
    if (runs) expect(call).not.toThrow()
    else
      expect(call).toThrowError(
        expect.objectContaining({ code: 'HOST_UNSUPPORTED', data: expect.objectContaining({ platform }) }),
      )
  })
})

describe('stepNetwork()', () => {
  const file = join(folder, 'ca.pem')
  const [mine = ''] =
    readFileSync(join(packageRoot(), 'fixtures/tls/ca.crt'), 'utf8').match(/-----BEGIN[^]+-----/) ?? []
  writeFileSync(file, `# Mine\n${mine}\n`)

  test('hands proxies over as they are, and nothing else', async () => {
    expect(
      await stepNetwork({ HTTPS_PROXY: 'http://p:1', no_proxy: 'x', HOME: '/root', AWS_SECRET: 's' }, folder),
    ).toEqual({
      env: { HTTPS_PROXY: 'http://p:1', no_proxy: 'x' },
      binds: [],
    })
  })

  test('binds the authorities that the machine is set to trust', async () => {
    const { env, binds } = await stepNetwork({ SSL_CERT_FILE: file }, folder)
    expect(env['PIP_CERT']).toBe(binds[0]?.destination)
    expect(readFileSync(binds[0]?.source ?? '', 'utf8')).toBe(`${mine}\n`)
  })

  test('adds further authorities to the public ones', async () => {
    const { binds } = await stepNetwork({ NODE_EXTRA_CA_CERTS: file }, folder)
    const text = readFileSync(binds[0]?.source ?? '', 'utf8')
    expect(text.startsWith(`${mine}\n-----BEGIN CERTIFICATE-----`)).toBe(true)
  })

  test('refuses a variable that names no file', async () => {
    await expect(stepNetwork({ SSL_CERT_FILE: '/missing' }, folder)).rejects.toThrowError(
      expect.objectContaining({ code: 'FILE_UNREADABLE', message: expect.stringMatching(/SSL_CERT_FILE/) }),
    )
  })
})

describe('makeProbeImage() and openImageArchive()', () => {
  test.each([
    ['x64', 'amd64', 62],
    ['arm64', 'arm64', 183],
  ])('the probe of %s is an ELF file of %s', async (arch, architecture, machine) => {
    const image = await makeProbeImage(arch)
    expect(image?.config.architecture).toBe(architecture)
    for await (const entry of readEntries(image?.layers[0]?.open() ?? openBytes(Buffer.alloc(0))())) {
      const bytes = await collect(entry.body, 4096)
      if (entry.path !== 'probe') continue
      expect(bytes.subarray(0, 4).toString('latin1')).toBe('\x7fELF')
      expect(bytes.readUInt16LE(18)).toBe(machine)
      expect(bytes.readBigUInt64LE(96)).toBe(BigInt(bytes.length))
    }
  })

  test('an architecture without known machine code has no probe', async () => {
    expect(await makeProbeImage('mips')).toBeUndefined()
  })

  test('the archive is an OCI layout and a docker archive at once, its blobs verified', async () => {
    const image = await makeProbeImage('x64')
    if (image === undefined) throw new TypeError('no probe')
    const files = new Map<string, Buffer>()
    for await (const entry of readEntries(openImageArchive(image)))
      files.set(entry.path, await collect(entry.body, 1e6))
    const read = (name: string): unknown => JSON.parse(files.get(name)?.toString() ?? '')
    expect(read('index.json')).toMatchObject({ manifests: [{ digest: image.descriptor.digest }] })
    expect(read('manifest.json')).toEqual([
      {
        Config: `blobs/sha256/${image.manifest.config.digest.slice(7)}`,
        RepoTags: [runName(image)],
        Layers: image.layers.map((layer) => `blobs/sha256/${layer.descriptor.digest.slice(7)}`),
      },
    ])
    const [layer] = image.layers
    if (layer === undefined) throw new TypeError('no layer')
    const damaged = { ...image, layers: [{ ...layer, open: openBytes(Buffer.alloc(layer.descriptor.size)) }] }
    await expect(collect(openImageArchive(damaged), 1e6)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })
})

describe('selectBackend()', () => {
  const cache = { folder, keepOwners: false, report: () => {} }
  const host = {
    uid: 1,
    env: { PATH: '/usr/bin' },
    namespaces: 'none',
    pidNamespace: false,
    overlay: false,
    reasons: ['unshare: not allowed'],
  } as const

  test('names everything that was looked for when nothing can run containers', async () => {
    await expect(selectBackend(undefined, host, cache, { names: ['chroot'] })).rejects.toMatchObject({
      code: 'HOST_UNSUPPORTED',
      message: 'Nothing here can run containers. Looked for chroot: unshare: not allowed',
    })
  })

  test.each([
    ['a small image', 1, { podman: {}, docker: {} }, 'podman'],
    ['a large image that neither has', 2 ** 30, { podman: {}, docker: {} }, 'podman'],
    ['a large image that the second has', 2 ** 30, { podman: {}, docker: { hasImage: true } }, 'docker'],
    ['a storage that copies again and again', 1, { podman: { driver: 'vfs' }, docker: {} }, 'docker'],
    ['such a storage and nothing else', 1, { podman: { driver: 'vfs' } }, 'podman'],
    ['one that fails', 1, { podman: { fails: true }, docker: {} }, 'docker'],
  ] satisfies [string, number, Record<string, FakeEngine>, string][])(
    'with %s takes the engine that need not copy it',
    async (_name, size, engines, expected) => {
      const bin = mkdtempSync(join(folder, 'bin-'))
      for (const [name, engine] of Object.entries(engines)) writeFakeEngine(join(bin, name), engine)
      const image = await makeProbeImage('x64')
      const [layer] = image?.layers ?? []
      if (image === undefined || layer === undefined) throw new TypeError('no image')
      const large = { ...image, layers: [{ ...layer, descriptor: { ...layer.descriptor, size } }] }
      const there = { ...host, env: { PATH: `${bin}:${process.env['PATH'] ?? ''}` } }
      const own = { ...cache, folder: bin }
      const chosen = await selectBackend(undefined, there, own, { names: ['podman', 'docker'], image: large })
      expect(chosen.name).toBe(expected)
    },
  )

  test('gives nerdctl its image through a named pipe, as it takes a socket for no input', async () => {
    const bin = mkdtempSync(join(folder, 'bin-'))
    writeFakeEngine(join(bin, 'nerdctl'), { needsPipe: true })
    const there = { ...host, env: { PATH: `${bin}:${process.env['PATH'] ?? ''}` } }
    const chosen = await selectBackend(undefined, there, { ...cache, folder: bin }, { names: ['nerdctl'] })
    expect(chosen.name).toBe('nerdctl')
  })

  test('tells the nearest runtime for an unknown one', async () => {
    await expect(selectBackend('podmn', host, cache)).rejects.toMatchObject({
      code: 'USAGE',
      hint: expect.stringMatching(/`podman`.*One of podman, docker, nerdctl, crun, runc, bubblewrap, chroot/),
    })
  })
})

describe('options of the command line', () => {
  test('parseEnvironment() takes values, names of variables here, and nothing malformed', () => {
    expect(parseEnvironment(['A=1', 'B=x=y', 'C', 'D', 'E='], { C: 'here' })).toEqual({
      A: '1',
      B: 'x=y',
      C: 'here',
      E: '',
    })
    expect(() => parseEnvironment(['=x'], {})).toThrow(/Not an environment variable/)
  })

  test.each([
    ['data:/data', { source: '/project/data', destination: '/data', options: [] }],
    ['/a:/b:ro', { source: '/a', destination: '/b', options: ['ro'] }],
    ['/a:/b:rw', { source: '/a', destination: '/b', options: [] }],
  ])('parseVolume(%s)', (word, expected) => {
    expect(parseVolume(word, '/project')).toEqual(expected)
  })

  test.each(['/a', '/a:b', ':/b', '/a:/b:z', '/a:/b:ro:x'])('parseVolume(%s) is refused', (word) => {
    expect(() => parseVolume(word, '/project')).toThrowError(expect.objectContaining({ code: 'USAGE' }))
  })

  test('append() collects', () => {
    expect(append('b', ['a'])).toEqual(['a', 'b'])
  })
})

interface FakeEngine {
  readonly hasImage?: boolean
  readonly driver?: string
  readonly fails?: boolean
  readonly needsPipe?: boolean
}

/** A program that answers like an engine whose containers end as the probe's does. */
function writeFakeEngine(path: string, engine: FakeEngine): void {
  const { hasImage = false, driver = 'overlay', fails = false, needsPipe = false } = engine
  const text = `#!/bin/sh
for word; do
  case "$word" in
    inspect) exit ${hasImage ? 0 : 1};;
    load) ${needsPipe ? '[ -p /dev/stdin ] || exit 1; ' : ''}cat > /dev/null; exit 0;;
    info) echo ${driver}; exit 0;;
    run) exit ${fails ? 125 : 42};;
  esac
done
`
  writeFileSync(path, text, { mode: 0o755 })
}
