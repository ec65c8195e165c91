import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCommandLine } from '../../src/cli/main.ts'
import { makeImage } from '../../src/image/make-image.ts'
import { dir, layerOf, tar } from '../run/tar-builder.ts'
import { writeLayout } from '../support/busybox-image.ts'
import { recordIo } from '../support/output.ts'

test.runIf(process.platform === 'linux')(
  'exec says that an image is for another machine, before any engine is asked',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'run-options-'))
    try {
      const image = makeImage({
        platform: { os: 'linux', architecture: process.arch === 's390x' ? 'amd64' : 's390x' },
        layers: [layerOf(tar(dir('bin')))],
        runtime: {},
        baseLayerCount: 0,
        annotations: {},
        created: '1970-01-01T00:00:00Z',
        format: 'oci',
      })
      await writeLayout(join(folder, 'image'), image)
      const io = recordIo({ cwd: folder, env: { LAYERWRIGHT_CACHE: join(folder, 'store') } })
      expect(await runCommandLine(['exec', '--image', 'oci:image', 'true'], io)).toBe(1)
      expect(io.stderr.text()).toContain('HOST_UNSUPPORTED')
      expect(io.stderr.text()).toContain('cannot run on this')
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)
