import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pLimit from 'p-limit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LayerContext } from '../../layers/context.ts'
import { makeLayerStream } from '../../layers/kinds/index.ts'
import { collect, copied } from '../../src/core/bytes.ts'
import { memoryCache } from '../../src/core/cache.ts'
import { makeHttp } from '../../src/core/http.ts'
import { silent } from '../../src/core/progress.ts'
import type { DebianLock } from '../../src/debian/lock.ts'
import { resolveDebian } from '../../src/debian/resolve.ts'
import { ubuntuSources } from '../../src/debian/source.ts'
import { debianBaseLayers } from '../../src/plan/debian-layers.ts'
import { makeArchiveKey, startArchive } from '../support/debian-archive.ts'
import { sha256 } from '../support/debian-package.ts'
import { randomAccess } from '../support/random-access.ts'
import { inZstd, ubuntuArchive } from '../support/repacked-archive.ts'
import { findTool, needTool } from '../support/tool.ts'

/*
 * Ubuntu's form with real packages: those of Debian with both members in zstd, in an archive with Ubuntu's layout,
 * components and Packages.zst, signed by a key of the test. Ubuntu's own archive is not asked.
 */

const run = promisify(execFile)
const context = { http: makeHttp(), cache: memoryCache(), now: () => new Date(), report: silent }
const WANTED = ['curl', 'jq', 'git', 'python3', 'sudo']

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ubuntu-interop-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function fetched(url: string, digest: string): Promise<Buffer> {
  const response = await context.http({ url })
  const bytes = await collect(copied(response.body), 1 << 30)
  if (response.status !== 200 || sha256(bytes) !== digest) throw new Error(`${response.status} for ${url}`)
  return bytes
}

const layerContext: LayerContext = {
  openRemote: async ({ url, sha256: digest }) => randomAccess(await fetched(url, digest)),
  projectFolder: '/nowhere',
  report: silent,
  compression: 'none',
}

async function layDown(lock: DebianLock, root: string): Promise<void> {
  await mkdir(root)
  for (const { spec } of debianBaseLayers(lock, [])) {
    const tar = join(folder, 'layer.tar')
    await writeFile(tar, (await makeLayerStream(spec, layerContext)).blob)
    await run('tar', ['-xpf', tar, '-C', root, '--numeric-owner'])
  }
}

test("real packages in Ubuntu's form are resolved, laid down and run", { timeout: 900_000 }, async (test) => {
  for (const name of ['tar', 'unshare', 'chroot']) needTool(await findTool(name), name, test)
  needTool(process.getuid?.() === 0 ? 'root' : undefined, 'root', test)
  const request = { architecture: 'amd64', packages: WANTED, isBootstrap: true } as const
  const original = await resolveDebian({ ...request, suite: 'bookworm' }, context)
  const limit = pLimit(4)
  const debs = await Promise.all(
    original.packages.map((deb) =>
      limit(async () => [`${deb.package}_${deb.version}`, await inZstd(await fetched(deb.url, deb.sha256))] as const),
    ),
  )
  const key = await makeArchiveKey()
  const archive = await startArchive(key)
  try {
    archive.publishFiles(await ubuntuArchive('jammy', new Map(debs), key))
    const sources = ubuntuSources('jammy', 'amd64', archive.url).map((source) => ({ ...source, keys: [key.publicKey] }))
    const lock = await resolveDebian({ ...request, suite: 'jammy', sources }, context)
    const names = ({ packages }: DebianLock): string[] => packages.map((deb) => `${deb.package} ${deb.version}`).sort()
    expect(names(lock)).toEqual(names(original))
    expect(archive.requests.filter((path) => path.includes('/by-hash/'))).not.toEqual([])
    const root = join(folder, 'root')
    await layDown(lock, root)
    const script = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$1" /bin/sh -ec "$2"'
    const lines = [
      'jq -n 1+1',
      'git init -q /tmp/x && git -C /tmp/x status --short --branch | grep -c commits',
      'python3 -c "import ssl, sqlite3; print(6 * 7)"',
      'curl --version | grep -o ^curl',
      'dpkg --verify; dpkg --audit',
      'dpkg-query -W -f "\\${Package}\\n" | wc -l',
    ]
    const { stdout } = await run('unshare', ['--mount', '--fork', 'sh', '-ec', script, 'sh', root, lines.join('\n')], {
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
    })
    expect(stdout.split('\n')).toEqual(['2', '1', '42', 'curl', `${lock.packages.length}`, ''])
  } finally {
    await archive.close()
  }
})
