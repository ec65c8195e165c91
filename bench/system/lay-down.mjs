// What `bench/system.ts` times: resolve, fetch, lay down and register packages into a fresh store, as a build does above a base
// whose facts it has read.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const [, , dist, root, mirror, ...packages] = process.argv
const load = (path) => import(resolve(dist, path))
// As the command does.
;(await load('src/core/small-heap.js')).keepHeapSmall()
const { makeHttp } = await load('src/core/http.js')
const { resolveDebian } = await load('src/debian/resolve.js')
const { parseStatus } = await load('src/debian/status.js')
const { packBaseFiles } = await load('src/debian/base-files.js')
const { factsCache } = await load('src/debian/facts-file.js')
const { Store } = await load('src/store/store.js')
const { layerStore } = await load('layers/layer-store.js')
const { makeOpenRemote } = await load('layers/remote.js')
const { materialiseAll } = await load('layers/materialise.js')
const { systemPackageLayers } = await load('src/plan/debian-layers.js')

const folder = await mkdtemp(join(tmpdir(), 'lw-bench-debs-'))
const times = {}
const time = async (name, work) => {
  const start = performance.now()
  const result = await work()
  times[name] = { seconds: (performance.now() - start) / 1000, rssMegabytes: process.resourceUsage().maxRSS / 1000 }
  return result
}
try {
  const http = makeHttp()
  const report = () => {}
  const store = await Store.open(folder)
  const mirrors = { archive: `${mirror}/debian`, securityArchive: `${mirror}/debian-security` }
  const lock = await time('resolve', async () => {
    const status = await readFile(join(root, 'var/lib/dpkg/status'), 'utf8')
    const installed = parseStatus(status).map(({ record }) => record)
    const context = { http, cache: store.cache('debian'), now: () => new Date(), report }
    return resolveDebian({ suite: 'bookworm', architecture: 'amd64', packages, installed, mirrors }, context)
  })
  const layers = await time('layers', async () => {
    const base = { files: packBaseFiles(await baseFiles()), links: {}, keptFolders: {} }
    const specs = systemPackageLayers({ ...lock, base }).map(({ spec }) => spec)
    const context = {
      openRemote: makeOpenRemote({ http, store }),
      facts: factsCache(store.cache('debian')),
      projectFolder: folder,
      report,
    }
    return materialiseAll(specs, context, layerStore(store))
  })
  const bytes = layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0)
  console.log(JSON.stringify({ packages: lock.packages.length, layers: layers.length, bytes, times }))
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
