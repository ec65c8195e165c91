// Makes one layer of each wheel named, as a build does, and prints what it cost. Runs the built program on any Node.
// node bench/layers/make.mjs DIST OUT blob|diffid|zstd WHEEL...
import { createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [dist, out, mode, ...wheels] = process.argv.slice(2)
const load = (file) => import(pathToFileURL(path.join(dist, file)).href)
const { makeLayerStream } = await load('layers/kinds/index.js')
const { makeCheckPool } = await load('layers/workers/pool.js')
const { openFile } = await load('src/core/file-access.js')

// Without a check the blob alone is made: what a build does whose lock knows the diffId.
const unchecked = {
  check: () => ({
    write: async () => {},
    end: async () => ({ diffId: 'sha256:', libraries: [] }),
    made: () => [],
    close() {},
  }),
  close: async () => {},
}
const checks = mode === 'blob' ? unchecked : makeCheckPool()
const compression = mode === 'zstd' ? 'zstd' : 'gzip'
const context = { openRemote: ({ url }) => openFile(url), projectFolder: '/', report() {}, checks, compression }
const started = performance.now()
const cpu = process.cpuUsage()

async function layer(wheel, n) {
  const { size } = await stat(wheel)
  const file = { filename: path.basename(wheel), url: wheel, sha256: '', sizeBytes: size }
  const stream = await makeLayerStream({ kind: 'wheels', prefix: 'opt/venv', python: '3.11', wheels: [file] }, context)
  const hash = createHash('sha256')
  const target = await open(path.join(out, `${n}.tar.${mode === 'zstd' ? 'zst' : 'gz'}`), 'w')
  let bytes = 0
  for await (const chunk of stream.blob) {
    hash.update(chunk)
    bytes += chunk.length
    await target.write(chunk)
  }
  await target.close()
  return {
    wheel: path.basename(wheel),
    wheelBytes: size,
    layerBytes: bytes,
    digest: hash.digest('hex'),
    diffId: stream.diffId(),
  }
}

// As many at once as a build makes, largest first.
const waiting = await Promise.all(wheels.map(async (wheel) => ({ wheel, size: (await stat(wheel)).size })))
waiting.sort((a, b) => b.size - a.size)
const layers = []
await Promise.all(
  Array.from({ length: 3 }, async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      layers.push(await layer(next.wheel, layers.length + waiting.length * 1000))
  }),
)
await checks?.close()
const { user, system } = process.cpuUsage(cpu)
const result = {
  seconds: (performance.now() - started) / 1000,
  cpuSeconds: (user + system) / 1e6,
  peakMegabytes: process.resourceUsage().maxRSS / 1000,
  threads: checks !== undefined,
  layers: layers.sort((a, b) => b.wheelBytes - a.wheelBytes),
}
process.stdout.write(`${JSON.stringify(result)}\n`)
