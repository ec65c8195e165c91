import { describe, expect, test } from 'vitest'
import { InstalledRecords } from '../../layers/installed-records.ts'
import type { EnvironmentLayerSpec } from '../../layers/kinds/environment.ts'
import { makeLayerStream } from '../../layers/kinds/index.ts'
import { silent } from '../../src/core/progress.ts'
import { filesOf, readLayer } from '../support/layer-bytes.ts'
import { makeWheel, type MadeWheel } from '../support/wheel.ts'
import { bytesAccess } from '../support/zip.ts'

const SITE = 'opt/venv/lib/python3.11/site-packages'

type Requested = MadeWheel & { directUrl?: Record<string, unknown> }

const requestedOf = (wheels: readonly Requested[]): EnvironmentLayerSpec['requested'] =>
  wheels.map(({ filename, sha256, bytes, directUrl }) => ({
    filename,
    sha256,
    sizeBytes: bytes.length,
    url: 'file:///x',
    ...(directUrl === undefined ? {} : { directUrl }),
  }))

function environment(wheels: readonly Requested[] = []): EnvironmentLayerSpec {
  return {
    kind: 'environment',
    prefix: 'opt/venv',
    python: '3.11',
    interpreter: '/usr/bin/python3.11',
    pythonVersion: '3.11.2',
    requested: requestedOf(wheels),
  }
}

const contextOf = (wheels: readonly MadeWheel[] = []) => ({
  openRemote: async ({ sha256 }: { sha256: string }) =>
    bytesAccess(wheels.find((wheel) => wheel.sha256 === sha256)?.bytes ?? Buffer.alloc(0)),
  projectFolder: '/',
  report: silent,
})

describe('an environment layer', () => {
  test('is what `python -m venv` would make, without running Python', async () => {
    const layer = await readLayer(await makeLayerStream(environment(), contextOf()))
    expect(filesOf(layer)['opt/venv/pyvenv.cfg']).toBe(
      'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\nexecutable = /usr/bin/python3.11\n',
    )
    const links = Object.fromEntries(
      layer.members.filter(({ type }) => type === 'symlink').map(({ name, target }) => [name, target]),
    )
    expect(links).toEqual({
      'opt/venv/bin/python': '/usr/bin/python3.11',
      'opt/venv/bin/python3': 'python',
      'opt/venv/bin/python3.11': 'python',
      'opt/venv/lib64': 'lib',
    })
    expect(layer.members.some(({ name }) => name === `${SITE}/`)).toBe(true)
  })

  test.each([false, true])('proves what it reads of wheels, unless its own digest is known: %s', async (isKnown) => {
    const wheel = makeWheel({ name: 'asked' })
    let proofs = 0
    const prove = async (): Promise<void> => void proofs++
    const openRemote = async () => ({ ...bytesAccess(wheel.bytes), prove })
    const made = await makeLayerStream(environment([wheel]), { ...contextOf(), openRemote, isKnown })
    expect((await readLayer(made)).digest).toBe(
      (await readLayer(await makeLayerStream(environment([wheel]), contextOf([wheel])))).digest,
    )
    expect(proofs).toBe(isKnown ? 0 : 1)
  })

  test('sees the packages of the interpreter on request', async () => {
    const spec = { ...environment(), systemSitePackages: true } as const
    const files = filesOf(await readLayer(await makeLayerStream(spec, contextOf())))
    expect(files['opt/venv/pyvenv.cfg']).toContain('include-system-site-packages = true\n')
  })

  test('marks what was asked for, and lists the marks in RECORD', async () => {
    const wheel = makeWheel({ files: [{ name: 'demo.py', content: 'x' }] })
    const made = { ...wheel, directUrl: { url: 'https://example.org/demo.whl', archive_info: {} } }
    const files = filesOf(await readLayer(await makeLayerStream(environment([made]), contextOf([wheel]))))
    const info = `${SITE}/demo-1.0.dist-info`
    expect(files[`${info}/REQUESTED`]).toBe('')
    expect(JSON.parse(files[`${info}/direct_url.json`] ?? '')).toEqual(made.directUrl)
    const paths = (files[`${info}/RECORD`] ?? '')
      .trimEnd()
      .split('\n')
      .map((row) => row.split(',')[0])
    expect(paths).toEqual([
      'demo-1.0.dist-info/INSTALLER',
      'demo-1.0.dist-info/METADATA',
      'demo-1.0.dist-info/RECORD',
      'demo-1.0.dist-info/REQUESTED',
      'demo-1.0.dist-info/WHEEL',
      'demo-1.0.dist-info/direct_url.json',
      'demo.py',
    ])
  })

  test('opens no large wheel again whose layer was made beside it', async () => {
    const wheel = makeWheel({ files: [{ name: 'demo.py', content: 'x' }] })
    const context = { ...contextOf([wheel]), installedRecords: new InstalledRecords(), directBytes: 1 }
    const own = environment([wheel])
    const wheels = { kind: 'wheels', prefix: 'opt/venv', python: '3.11', wheels: requestedOf([wheel]) } as const
    const plain = await readLayer(await makeLayerStream(own, contextOf([wheel])))
    await readLayer(await makeLayerStream(wheels, context))
    const openRemote = (): never => expect.unreachable('the wheel is opened again')
    const layer = await readLayer(await makeLayerStream(own, { ...context, openRemote }))
    expect(filesOf(layer)).toEqual(filesOf(plain))
  })
})
