import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { indexSchema } from 'oci-spec-types/schemas'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { digestOf } from '../../../src/core/digest.ts'
import { bundle } from '../../support/bundle.ts'
import { pushImage } from './push.ts'

const ROUNDS = 3
const PUSHERS = 4

let program: Awaited<ReturnType<typeof bundle>>
let folder: string

beforeAll(async () => {
  program = await bundle(fileURLToPath(new URL('serve-folder.ts', import.meta.url)))
  folder = await mkdtemp(join(tmpdir(), 'layerwright-kill-'))
})
afterAll(async () => {
  await rm(program.folder, { recursive: true })
  await rm(folder, { recursive: true })
})

it('a registry that is killed while four clients push loses nothing that it acknowledged', async () => {
  const acknowledged = new Map<string, string>()
  for (let round = 0; round < ROUNDS; round++) {
    const { child, url } = await start()
    const pushers = Array.from({ length: PUSHERS }, async (_, pusher) => {
      for (let count = 0; ; count++) {
        const tag = `r${round}-p${pusher}-${count}`
        acknowledged.set(tag, (await pushImage(url, 'a', tag)).digest)
        // At another place of the work in every round.
        if (pusher === 0 && count === round) child.kill('SIGKILL')
      }
    })
    const outcomes = await Promise.allSettled(pushers)
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true)
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    await expectWhole()
  }
  expect(acknowledged.size).toBeGreaterThanOrEqual(ROUNDS)

  const { child, url } = await start()
  for (const [tag, digest] of acknowledged) {
    const response = await fetch(`${url}/v2/a/manifests/${tag}`)
    expect([tag, response.status, response.headers.get('docker-content-digest')]).toEqual([tag, 200, digest])
    const manifest = JSON.parse(await response.text()) as { layers: { digest: string }[] }
    const layer = await fetch(`${url}/v2/a/blobs/${manifest.layers[0]?.digest}`)
    expect(await layer.text()).toBe(`layer of a:${tag}`)
  }
  child.kill('SIGKILL')
})

/** What lies in the folder after a kill is right: every blob has its digest, and the index names only blobs that are there. */
async function expectWhole(): Promise<void> {
  const blobs = await readdir(join(folder, 'a/blobs/sha256'))
  for (const hex of blobs) expect(digestOf(await readFile(join(folder, 'a/blobs/sha256', hex)))).toBe(`sha256:${hex}`)
  const index = indexSchema.parse(JSON.parse(await readFile(join(folder, 'a/index.json'), 'utf8')))
  for (const { digest } of index.manifests) expect(blobs).toContain(digest.replace('sha256:', ''))
}

async function start(): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const child = spawn(process.execPath, [program.file, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, url: line.toString('utf8').trim() }
}
