import { createServer } from 'node:http'
import { once } from 'node:events'
import type { MadeWheel } from './wheel.ts'

/** An index that serves installable wheels on loopback. */
export interface WheelIndex {
  readonly url: string
  /** Paths that were asked for, in order. */
  readonly requests: string[]
  close(): Promise<void>
}

/** Serves wheels by PEP 691 and with range requests refused, as the plainest of indexes does. */
export async function serveWheels(wheels: readonly MadeWheel[]): Promise<WheelIndex> {
  const requests: string[] = []
  const nameOf = ({ filename }: MadeWheel): string => (filename.split('-')[0] ?? '').toLowerCase().replaceAll('_', '-')
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push(path)
    const project = /^\/simple\/([^/]+)\/$/.exec(path)?.[1]
    const file = wheels.find(({ filename }) => path === `/files/${filename}`)
    const listed = wheels.filter((wheel) => nameOf(wheel) === project)
    if (file !== undefined) return response.writeHead(200, { 'content-length': file.bytes.length }).end(file.bytes)
    if (listed.length === 0) return response.writeHead(404).end()
    const files = listed.map(({ filename, sha256, bytes }) => ({
      filename,
      url: `/files/${filename}`,
      hashes: { sha256 },
      size: bytes.length,
    }))
    const body = JSON.stringify({ meta: { 'api-version': '1.1' }, name: project, files })
    return response.writeHead(200, { 'content-type': 'application/vnd.pypi.simple.v1+json' }).end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('The port is not known')
  return {
    url: `http://127.0.0.1:${address.port}/simple/`,
    requests,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
