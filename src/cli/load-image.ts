import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BuildError, systemErrorCode } from '../core/errors.ts'
import { runTask } from '../core/progress.ts'
import { temporaryName } from '../core/temporary-name.ts'
import { copyImage } from '../destinations/index.ts'
import { isImageIndex, type Image, type ImageIndex } from '../image/image.ts'
import type { Io } from './command.ts'
import type { World } from './world.ts'

/** Engines that an image can be handed to, in the order in which they are tried. */
const ENGINES = ['docker', 'podman', 'nerdctl'] as const

/**
 * Hands an image to the first engine that takes it, as a Docker archive.
 *
 * @throws BuildError HOST_UNSUPPORTED naming what each engine said; NOT_SUPPORTED for an index
 */
export async function loadImage(image: Image | ImageIndex, name: string, world: World, io: Io): Promise<void> {
  if (isImageIndex(image)) {
    throw new BuildError('NOT_SUPPORTED', '--load takes an image for one platform', {
      hint: 'Add --platform with the platform of this machine.',
    })
  }
  const folder = await mkdtemp(join(world.store.folder, 'tmp', `${temporaryName('load')}-`))
  try {
    const archive = join(folder, 'image.tar')
    const destination = await world.open({ kind: 'docker-archive', path: archive, tag: name })
    await copyImage(image, destination, { signal: io.signal })
    const refusals: string[] = []
    for (const engine of ENGINES) {
      const refusal = await runTask(io.report, `load into ${engine}`, () => load(engine, archive, io))
      if (refusal === undefined) return
      refusals.push(`${engine}: ${refusal}`)
    }
    throw new BuildError('HOST_UNSUPPORTED', `No engine took the image (${refusals.join('; ')})`, {
      hint: 'Start docker, podman or nerdctl, or write the image with -o oci:DIR.',
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What the engine said when it refused; undefined when it took the image. */
async function load(engine: string, archive: string, io: Io): Promise<string | undefined> {
  const child = spawn(engine, ['load', '-i', archive], {
    env: { ...io.env },
    signal: io.signal,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  try {
    const [status, killer] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    if (status === 0) return undefined
    const ending = killer === null ? `exit status ${status}` : `killed by ${killer}`
    return said.trim() === '' ? ending : said.trim().split('\n').at(-1)
  } catch (error) {
    io.signal.throwIfAborted()
    if (systemErrorCode(error) === 'ENOENT') return 'not installed'
    throw error
  }
}
