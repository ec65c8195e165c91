import { execFile } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoryCache } from '../../src/core/cache.ts'
import { verify } from '../../src/core/digest.ts'
import { makeHttp } from '../../src/core/http.ts'
import { silent } from '../../src/core/progress.ts'
import { BaseSystemScan } from '../../src/debian/base-system.ts'
import type { DebianLock } from '../../src/debian/lock.ts'
import { resolveDebian } from '../../src/debian/resolve.ts'
import { parseStatus } from '../../src/debian/status.ts'
import { readTar } from '../../src/core/tar-reader.ts'
import type { LayerContext } from '../../layers/context.ts'
import { makeLayerStream } from '../../layers/kinds/index.ts'
import { debianBaseLayers, systemPackageLayers } from '../../src/plan/debian-layers.ts'
import type { PlannedLayer } from '../../src/plan/plan.ts'
import { findTool, needTool } from '../support/tool.ts'
import { SYSTEM_PROGRAMS } from './system-programs.ts'

const run = promisify(execFile)
const context = { http: makeHttp(), cache: memoryCache(), now: () => new Date(), report: silent }

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'debian-interop-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Files of the archive, each fetched once. */
const layerContext: LayerContext = {
  openRemote: async ({ url, sha256, sizeBytes }) => {
    const path = join(folder, sha256)
    const present = await open(path).catch(() => undefined)
    if (present === undefined) {
      const response = await context.http({ url })
      if (response.status !== 200) throw new Error(`${response.status} for ${url}`)
      await pipeline(
        verify(response.body, { digest: `sha256:${sha256}`, size: sizeBytes }, url),
        createWriteStream(path),
      )
    }
    const file = present ?? (await open(path))
    const read = async (offset: number, length: number): Promise<Uint8Array> =>
      (await file.read(Buffer.alloc(length), 0, length, offset)).buffer
    return {
      sizeBytes,
      read,
      stream: async function* (offset, length) {
        for (let at = 0; at < length; at += 1 << 18) yield await read(offset + at, Math.min(1 << 18, length - at))
      },
      close: () => file.close(),
    }
  },
  projectFolder: '/nowhere',
  report: silent,
  compression: 'none',
}

/** Makes the layers and applies them; gives back their tars, lowest first. */
async function applyLayers(layers: readonly PlannedLayer[], root: string): Promise<string[]> {
  await mkdir(root, { recursive: true })
  const tars: string[] = []
  for (const [index, { spec }] of layers.entries()) {
    const tar = join(folder, `${root.split('/').at(-1)}-${index}-${tars.length}.tar`)
    await pipeline((await makeLayerStream(spec, layerContext)).blob, createWriteStream(tar))
    await run('tar', ['-xpf', tar, '-C', root, '--numeric-owner'])
    tars.push(tar)
  }
  return tars
}

/** Runs a shell line in a root file system, with /proc and /dev, and gives back what it prints. */
async function inside(root: string, line: string): Promise<string> {
  const script = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$1" /bin/sh -ec "$2"'
  const { stdout } = await run('unshare', ['--mount', '--fork', 'sh', '-ec', script, 'sh', root, line], {
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
    maxBuffer: 64 << 20,
  })
  return stdout
}

async function needChroot(test: { skip: (note: string) => void }): Promise<void> {
  for (const name of ['tar', 'unshare', 'chroot']) needTool(await findTool(name), name, test)
  needTool(process.getuid?.() === 0 ? 'root' : undefined, 'root', test)
}

function composeBase(suite: string, packages: readonly string[]): Promise<DebianLock> {
  return resolveDebian({ suite, architecture: 'amd64', packages, isBootstrap: true }, context)
}

const BASES = [
  { suite: 'bookworm', python: '3.11' },
  { suite: 'trixie', python: '3.13' },
] as const

describe('a composed Debian base', () => {
  for (const { suite, python } of BASES) {
    it(`of ${suite} satisfies Debian's own tools`, async (test) => {
      await needChroot(test)
      const lock = await composeBase(suite, [`python${python}`])
      const root = join(folder, suite)
      await applyLayers(debianBaseLayers(lock, []), root)
      expect(await inside(root, `python${python} -c 'import ssl, sqlite3, sys; print(sys.version_info[:2])'`)).toBe(
        `(${python.replace('.', ', ')})\n`,
      )
      const listed = (await inside(root, 'dpkg-query -W -f "\\${Package} \\${Version}\\n"')).trim().split('\n')
      expect(listed.sort()).toEqual(lock.packages.map((deb) => `${deb.package} ${deb.version}`).sort())
      expect(await inside(root, 'dpkg --verify; dpkg --audit')).toBe('')
      expect(await inside(root, 'apt-get check -q=2 && echo sound')).toContain('sound')
      const before = await inside(root, 'ldconfig -p')
      expect(await inside(root, 'ldconfig && ldconfig -p')).toBe(before)
      expect(await inside(root, 'whoami; id -un 65534; awk "BEGIN { print 1 }"; which sh; cat /etc/timezone')).toBe(
        'root\nnobody\n1\n/usr/bin/sh\nEtc/UTC\n',
      )
      expect(await inside(root, '. /etc/os-release && echo "$VERSION_CODENAME"')).toBe(`${suite}\n`)
    })

    it(`of ${suite} finds authorities by hash and in the bundle`, async (test) => {
      await needChroot(test)
      const root = join(folder, suite)
      const certificate = '/usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt'
      expect(await inside(root, `openssl verify -no-CAfile -CApath /etc/ssl/certs ${certificate}`)).toContain('OK')
      expect(
        await inside(root, `openssl verify -no-CApath -CAfile /etc/ssl/certs/ca-certificates.crt ${certificate}`),
      ).toContain('OK')
      const ours = await inside(root, 'cd /etc/ssl/certs && ls *.[0-9] | sort')
      const theirs = await inside(
        root,
        'cp -a /etc/ssl/certs /tmp/c && rm /tmp/c/*.[0-9] && openssl rehash /tmp/c 2>/dev/null; cd /tmp/c && ls *.[0-9] | sort',
      )
      expect(ours).toBe(theirs)
    })
  }
})

const ASKED = [
  ['ffmpeg'],
  ['libgl1', 'libglib2.0-0'],
  ['build-essential'],
  ['git', 'git-lfs'],
  ['imagemagick', 'procps'],
  ['libopenblas-dev'],
  ['openssh-client', 'sudo'],
  ['libboost-all-dev', 'default-jre-headless'],
]

// Our image tells apt to keep no caches; a test that asks often does want them.
const CACHED = '-o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache=srcpkgcache.bin'

describe('system packages on a base', () => {
  it('are those that apt would install', async (test) => {
    await needChroot(test)
    const root = join(folder, 'bookworm')
    await writeFile(join(root, 'etc/resolv.conf'), await readFile('/etc/resolv.conf'))
    await inside(root, 'apt-get update -q=2')
    const installed = parseStatus(await readFile(join(root, 'var/lib/dpkg/status'), 'utf8')).map(({ record }) => record)
    for (const packages of ASKED) {
      const plan = await inside(root, `apt-get ${CACHED} -s install --no-install-recommends ${packages.join(' ')}`)
      const theirs = [...plan.matchAll(/^Inst ([^\s:]+)\S* (?:\[\S+\] )?\((\S+)/gm)].map(
        ([, name, version]) => `${name} ${version}`,
      )
      const lock = await resolveDebian({ suite: 'bookworm', architecture: 'amd64', packages, installed }, context)
      expect(lock.packages.map((deb) => `${deb.package} ${deb.version}`).sort(), packages.join(' ')).toEqual(
        theirs.sort(),
      )
    }
  })

  it(`are laid down and registered so that ${Object.keys(SYSTEM_PROGRAMS).length} of them run`, async (test) => {
    await needChroot(test)
    const root = join(folder, 'with-packages')
    const tars = await applyLayers(debianBaseLayers(await composeBase('bookworm', ['python3', 'openssl']), []), root)
    const scan = new BaseSystemScan()
    for (const tar of tars.toReversed()) {
      const file = await open(tar)
      for await (const member of readTar(file.createReadStream({ highWaterMark: 1 << 18 }))) await scan.visit(member)
      scan.endLayer()
    }
    const installed = parseStatus(scan.read('var/lib/dpkg/status')?.toString('utf8') ?? '').map(({ record }) => record)
    const packages = Object.keys(SYSTEM_PROGRAMS)
    const lock = await resolveDebian({ suite: 'bookworm', architecture: 'amd64', packages, installed }, context)
    const replaced = new Set(lock.upgraded.map((upgrade) => upgrade.package))
    const layers = systemPackageLayers({ ...lock, base: scan.system(replaced) })
    for (const tar of await applyLayers(layers, root)) await rm(tar)
    const failures: string[] = []
    for (const [name, line] of Object.entries(SYSTEM_PROGRAMS)) {
      await inside(root, `{ ${line}; } >/dev/null`).catch((error: Error) => failures.push(`${name}: ${error.message}`))
    }
    expect(failures).toEqual([])
    const registered = (await inside(root, 'dpkg-query -W -f "\\${Package} \\${Version}\\n"')).trim().split('\n')
    const expected = new Map(
      [...installed, ...lock.packages.map((deb) => ({ name: deb.package, ...deb }))].map(({ name, version }) => [
        name,
        version,
      ]),
    )
    expect(registered.sort()).toEqual([...expected].map(([name, version]) => `${name} ${version}`).sort())
  })

  it("leave a file system that Debian's own tools have no complaint about", async (test) => {
    await needChroot(test)
    const root = join(folder, 'with-packages')
    expect(await inside(root, 'dpkg --verify; dpkg --audit')).toBe('')
    expect(await inside(root, 'apt-get check -q=2 && echo sound')).toContain('sound')
    expect(await inside(root, 'ls -d /bin /lib /sbin; readlink /bin /lib /sbin')).toBe(
      '/bin\n/lib\n/sbin\nusr/bin\nusr/lib\nusr/sbin\n',
    )
    const before = await inside(root, 'ldconfig -p')
    expect(await inside(root, 'ldconfig && ldconfig -p')).toBe(before)
  })

  it('are what apt builds on in an image above', async (test) => {
    await needChroot(test)
    const root = join(folder, 'with-packages')
    await writeFile(join(root, 'etc/resolv.conf'), await readFile('/etc/resolv.conf'))
    await inside(root, 'apt-get update -q=2')
    expect(await inside(root, `apt-get ${CACHED} -s install ffmpeg git sudo`)).toMatch(
      /^0 upgraded, 0 newly installed/m,
    )
    expect(await inside(root, `apt-get ${CACHED} -s -f install`)).toMatch(
      /^0 upgraded, 0 newly installed, 0 to remove/m,
    )
    await inside(
      root,
      'DEBIAN_FRONTEND=noninteractive apt-get install -q=2 -y --no-install-recommends hello >/dev/null',
    )
    expect(await inside(root, 'hello')).toBe('Hello, world!\n')
    await inside(root, 'DEBIAN_FRONTEND=noninteractive apt-get remove -q=2 -y hello zip rsync >/dev/null')
    expect(await inside(root, 'dpkg --audit; ls /usr/bin/zip /usr/bin/rsync 2>/dev/null || echo gone')).toBe('gone\n')
  })
})
