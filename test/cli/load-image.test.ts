import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { loadImage } from '../../src/cli/load-image.ts'
import { openWorld } from '../../src/cli/world.ts'
import { recordIo } from '../support/output.ts'
import { sampleImage } from '../support/sample-image.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** Hands an image to engines that are shell scripts; gives back what is left in the store. */
async function load(engines: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'layerwright-load-'))
  folders.push(folder)
  for (const [name, script] of Object.entries(engines))
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  const io = recordIo({ env: { PATH: folder, LAYERWRIGHT_CACHE: join(folder, 'store') } })
  const world = await openWorld(io)
  try {
    await loadImage(sampleImage(), 'demo', world, io)
  } finally {
    expect(readdirSync(join(world.store.folder, 'tmp'))).toEqual([])
  }
  return readdirSync(folder).toSorted()
}

test('loadImage() goes on to the next engine when one refuses, and leaves no archive', async () => {
  const left = await load({
    docker: 'exit 1',
    podman: 'test "$1 $2" = "load -i" && : > "${0%/*}/took" && test -s "$3"',
  })
  expect(left).toEqual(['docker', 'podman', 'store', 'took'])
})

test('loadImage() says what each engine said, also of one that said nothing', async () => {
  const engines = {
    docker: 'exit 3',
    podman: 'echo starting; echo "no such socket" >&2; exit 1',
    nerdctl: 'kill -9 $$',
  }
  await expect(load(engines)).rejects.toMatchObject({
    code: 'HOST_UNSUPPORTED',
    message: 'No engine took the image (docker: exit status 3; podman: no such socket; nerdctl: killed by SIGKILL)',
  })
})

test('loadImage() names engines that are not installed', async () => {
  await expect(load({})).rejects.toThrow('docker: not installed; podman: not installed; nerdctl: not installed')
})
