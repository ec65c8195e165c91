// Serves folders of wheels as a package index on loopback: PEP 691 and 503, metadata files (PEP 658), ranges.
// A process of its own, so that its processor time is not counted with what is measured.
// node bench/build/wheel-server.mjs FOLDER...   prints the URL of the index, serves until it is ended
// `synthetic:COUNT:MEGABYTES` in place of a folder serves COUNT made-up wheels of that size together.
import { createHash } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { createReadStream, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import path from 'node:path'
import { Readable } from 'node:stream'
import { syntheticWheel } from './synthetic.mjs'

const files = new Map()
const given = process.argv.slice(2)
for (const name of given.filter((name) => name.startsWith('synthetic:'))) {
  const [count, megabytes] = name.split(':').slice(1).map(Number)
  for (let n = 1; n <= count; n++) {
    const { filename, ...file } = syntheticWheel(n, (megabytes * 1e6) / count)
    files.set(filename, file)
  }
}
const folders = given.filter((name) => !name.startsWith('synthetic:'))
for (const folder of folders.map((name) => path.resolve(name))) {
  const memo = path.join(folder, '.index.json')
  const known = existsSync(memo) ? JSON.parse(readFileSync(memo, 'utf8')) : {}
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.whl'))) {
    const { size, mtimeMs } = statSync(path.join(folder, name))
    if (known[name]?.mtimeMs !== mtimeMs) known[name] = await describe(folder, name, size, mtimeMs)
    files.set(name, { ...known[name], path: path.join(folder, name) })
  }
  writeFileSync(memo, JSON.stringify(known))
}

const projectOf = (name) =>
  name
    .split('-')[0]
    .toLowerCase()
    .replaceAll(/[-_.]+/g, '-')

const byProject = new Map()
for (const file of files) {
  const project = projectOf(file[0])
  byProject.set(project, [...(byProject.get(project) ?? []), file])
}

async function describe(folder, name, size, mtimeMs) {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path.join(folder, name), { highWaterMark: 1 << 20 })) hash.update(chunk)
  const python =
    'import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); ' +
    'n=[n for n in z.namelist() if n.endswith(".dist-info/METADATA") and n.count("/")==1][0]; sys.stdout.buffer.write(z.read(n))'
  const metadata = execFileSync('python3', ['-c', python, path.join(folder, name)], { maxBuffer: 2 ** 26 })
  return {
    size,
    mtimeMs,
    sha256: hash.digest('hex'),
    metadata: metadata.toString('utf8'),
    metadataSha256: createHash('sha256').update(metadata).digest('hex'),
  }
}

function page(project, wantsJson) {
  const listed = byProject.get(project) ?? []
  if (listed.length === 0) return undefined
  if (wantsJson)
    return JSON.stringify({
      meta: { 'api-version': '1.1' },
      name: project,
      versions: [...new Set(listed.map(([name]) => name.split('-')[1]))],
      files: listed.map(([filename, { size, sha256, metadataSha256 }]) => ({
        filename,
        url: `/files/${filename}`,
        hashes: { sha256 },
        size,
        'core-metadata': { sha256: metadataSha256 },
      })),
    })
  const links = listed.map(
    ([name, { sha256, metadataSha256 }]) =>
      `<a href="/files/${name}#sha256=${sha256}" data-core-metadata="sha256=${metadataSha256}">${name}</a><br>`,
  )
  return `<!DOCTYPE html><html><body>${links.join('')}</body></html>`
}

/** The pieces of a made-up wheel that a range touches. */
function* piecesOf(pieces, start, end) {
  let at = 0
  for (const piece of pieces) {
    const [from, to] = [Math.max(start - at, 0), Math.min(end + 1 - at, piece.length)]
    // Small pieces, as a file gives them.
    for (let part = from; part < to; part += 1 << 18) yield piece.subarray(part, Math.min(to, part + (1 << 18)))
    at += piece.length
  }
}

const served = { bytes: 0, requests: 0 }
const server = createServer((request, response) => {
  const url = decodeURIComponent((request.url ?? '').split('?')[0])
  if (url === '/served') return response.end(JSON.stringify(served))
  served.requests++
  const project = /^\/simple\/([^/]+)\/$/.exec(url)?.[1]
  if (project !== undefined) {
    const wantsJson = (request.headers.accept ?? '').includes('json')
    const body = page(project, wantsJson)
    if (body === undefined) return response.writeHead(404).end()
    const type = wantsJson ? 'application/vnd.pypi.simple.v1+json' : 'text/html'
    return response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body)
  }
  const name = /^\/files\/([^/]+?)(\.metadata)?$/.exec(url)
  const file = files.get(name?.[1])
  if (file === undefined) return response.writeHead(404).end()
  if (name[2] !== undefined) return response.writeHead(200).end(file.metadata)
  const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '')
  let [start, end] = [0, file.size - 1]
  if (range !== null) {
    if (range[1] === '') start = Math.max(0, file.size - Number(range[2]))
    else [start, end] = [Number(range[1]), range[2] === '' ? end : Math.min(end, Number(range[2]))]
  }
  response.writeHead(range === null ? 200 : 206, {
    'content-length': end - start + 1,
    'accept-ranges': 'bytes',
    'content-type': 'application/octet-stream',
    ...(range === null ? {} : { 'content-range': `bytes ${start}-${end}/${file.size}` }),
  })
  if (request.method === 'HEAD') return response.end()
  const stream =
    file.pieces === undefined
      ? createReadStream(file.path, { start, end, highWaterMark: 1 << 18 })
      : Readable.from(piecesOf(file.pieces, start, end), { objectMode: false, highWaterMark: 1 << 18 })
  stream.on('data', (chunk) => (served.bytes += chunk.length)).pipe(response)
  response.on('close', () => stream.destroy())
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/simple/`))
