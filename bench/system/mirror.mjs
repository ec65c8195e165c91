// A mirror of Debian's archive on loopback for `bench/system.ts`: what it was asked for once lies in FOLDER.
import { createReadStream } from 'node:fs'
import { mkdir, rename, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { dirname, join, normalize } from 'node:path'

const [, , folder, upstream] = process.argv
const fetching = new Map()

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    response.statusCode = 502
    response.end(String(error))
  })
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))

async function answer(request, response) {
  const path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname))
  const file = join(folder, path)
  const found = await stat(file).catch(() => undefined)
  if (found?.isFile() !== true) {
    const running = fetching.get(path) ?? fetchInto(request.url, file)
    fetching.set(path, running)
    const status = await running.finally(() => fetching.delete(path))
    if (status !== 200) {
      response.statusCode = status
      return response.end()
    }
  }
  const { size } = await stat(file)
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const start = Number(range?.[1] ?? 0)
  const end = range === null || range[2] === '' ? size - 1 : Math.min(Number(range[2]), size - 1)
  response.writeHead(range === null ? 200 : 206, {
    'content-length': end - start + 1,
    ...(range === null ? {} : { 'content-range': `bytes ${start}-${end}/${size}` }),
  })
  createReadStream(file, { start, end }).pipe(response)
}

async function fetchInto(path, file) {
  const answer = await fetch(upstream + path)
  if (answer.status !== 200) return answer.status
  await mkdir(dirname(file), { recursive: true })
  await writeFile(`${file}.part`, Buffer.from(await answer.arrayBuffer()))
  await rename(`${file}.part`, file)
  return 200
}
