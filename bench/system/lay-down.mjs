// What `bench/system.ts` times: resolve, fetch, lay down and register packages, from nothing but the base's own files.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { open, readFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const [, , dist, root, mirror, ...packages] = process.argv
const load = (path) => import(resolve(dist, path))
const { makeHttp } = await load('src/core/http.js')
const { memoryCache } = await load('src/core/cache.js')
const { resolveDebian } = await load('src/debian/resolve.js')
const { parseStatus } = await load('src/debian/status.js')
const { packBaseFiles } = await load('src/debian/base-files.js')
const { makeLayerStream } = await load('layers/kinds/index.js')
const { systemPackageLayers } = await load('src/plan/debian-layers.js')

const http = makeHttp()
const folder = await mkdtemp(join(tmpdir(), 'lw-bench-debs-'))
try {
  const mirrors = mirror === '' ? {} : { archive: `${mirror}/debian`, securityArchive: `${mirror}/debian-security` }
  const installed = parseStatus(await readFile(join(root, 'var/lib/dpkg/status'), 'utf8')).map(({ record }) => record)
  const context = { http, cache: memoryCache(), now: () => new Date(), report: () => {} }
  const lock = await resolveDebian({ suite: 'bookworm', architecture: 'amd64', packages, installed, mirrors }, context)
  const base = { files: packBaseFiles(await baseFiles()), links: {}, keptFolders: [] }
  for (const { spec } of systemPackageLayers({ ...lock, base })) {
    const layer = await makeLayerStream(spec, { openRemote, projectFolder: folder, report: () => {} })
    const hash = createHash('sha256')
    for await (const chunk of layer.blob) hash.update(chunk)
    console.log(spec.kind, hash.digest('hex'), layer.diffId())
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function baseFiles() {
  const names = ['var/lib/dpkg/status', 'etc/passwd', 'etc/group', 'etc/ld.so.cache', 'etc/ld.so.conf']
  const { stdout } = await promisify(execFile)(
    'find',
    ['etc/ld.so.conf.d', 'var/lib/dpkg/alternatives', '-type', 'f'],
    { cwd: root },
  )
  const all = [...names, ...stdout.trim().split('\n')]
  return new Map(await Promise.all(all.map(async (name) => [name, await readFile(join(root, name))])))
}

async function openRemote({ url, sha256, sizeBytes }) {
  const path = join(folder, sha256)
  const bytes = await (await http({ url })).bytes(sizeBytes)
  if (createHash('sha256').update(bytes).digest('hex') !== sha256) throw new Error(`Another file: ${url}`)
  await writeFile(path, bytes)
  const file = await open(path)
  const read = async (offset, length) => (await file.read(Buffer.alloc(length), 0, length, offset)).buffer
  return {
    sizeBytes,
    read,
    stream: async function* (offset, length) {
      for (let at = 0; at < length; at += 1 << 18) yield await read(offset + at, Math.min(1 << 18, length - at))
    },
    close: () => file.close(),
  }
}
