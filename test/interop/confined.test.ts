import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { packageRoot } from '../../src/core/package-root.ts'
import { runCommand, type Finished } from '../support/command.ts'
import { findTool, needTool } from '../support/tool.ts'

/*
 * As in a restricted pod: nobody in particular, in a user namespace that allows no further ones. What takes no namespaces
 * works there, and what takes them says so.
 */

const NOBODY = 65534
const cli = join(packageRoot(), 'bin', 'layerwright.mjs')
let folder: string
let missing: string | undefined

beforeAll(async () => {
  folder = mkdtempSync('/tmp/lw-confined-')
  for (const name of ['', 'store', 'plain', 'steps', 'sources']) {
    mkdirSync(join(folder, name), { recursive: true })
    chmodSync(join(folder, name), 0o755)
    if (process.getuid?.() === 0) chownSync(join(folder, name), NOBODY, NOBODY)
  }
  const code =
    'from cog import BaseRunner\n\n\nclass Runner(BaseRunner):\n    def run(self, text: str = "x") -> str:\n        return text\n'
  const builds = { plain: '', steps: '  run: ["touch /made"]\n', sources: '  python_packages: ["docopt==0.6.2"]\n' }
  for (const [name, build] of Object.entries(builds)) {
    writeFileSync(join(folder, name, 'run.py'), code)
    writeFileSync(join(folder, name, 'cog.yaml'), `build:\n  python_version: "3.11"\n${build}run: "run.py:Runner"\n`)
  }
  if ((await findTool('bwrap')) === undefined) missing = 'bwrap'
  else if ((await confined(['unshare', '--user', 'true'])).status === 0)
    missing = 'a bwrap that forbids user namespaces'
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs a command where user namespaces are forbidden. */
function confined(command: readonly string[]): Promise<Finished> {
  const become = process.getuid?.() === 0 ? [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] : []
  const jail = ['bwrap', '--unshare-user', '--uid', '1000', '--gid', '1000', '--disable-userns', '--dev-bind', '/', '/']
  return runCommand('setpriv', [...become, '--', ...jail, '--', ...command], {
    env: { HOME: folder, LAYERWRIGHT_CACHE: join(folder, 'store'), XDG_RUNTIME_DIR: undefined },
  })
}

const layerwright = (...args: string[]): Promise<Finished> => confined([process.execPath, cli, ...args])

function need(context: TestContext): void {
  needTool(missing === undefined ? 'yes' : undefined, missing ?? '', context)
}

describe('where user namespaces are forbidden', () => {
  test('an image is built', async (context) => {
    need(context)
    const { status, stderr } = await layerwright(
      'build',
      join(folder, 'plain'),
      '-q',
      '-o',
      `oci:${join(folder, 'image')}`,
    )
    expect(status, stderr).toBe(0)
  })

  test.for(['crun', 'runc', 'bubblewrap', 'chroot'])(
    'running it with %s is refused in the words of the kernel',
    async (runtime, context) => {
      need(context)
      const args = ['--runtime', runtime, '--image', `oci:${join(folder, 'image')}`, '--', 'true']
      const { status, stderr } = await layerwright('exec', ...args)
      expect(status).not.toBe(0)
      expect(stderr).toMatch(/namespace|unshare/i)
    },
  )

  test('looking for a runtime names each that was tried, and what to install or allow', async (context) => {
    need(context)
    const { status, stderr } = await layerwright('exec', '--image', `oci:${join(folder, 'image')}`, '--', 'true')
    expect(status).toBe(1)
    expect(stderr).toMatch(/HOST_UNSUPPORTED.*crun: unshare: .*bubblewrap: unshare: .*chroot: unshare: /s)
    expect(stderr).toContain('allow user namespaces')
  })

  test.for(['steps', 'sources'])(
    'what has to run while building is refused with the alternatives: %s',
    async (name, context) => {
      need(context)
      const { status, stderr } = await layerwright('build', join(folder, name), '-o', `oci:${join(folder, 'never')}`)
      expect(status).toBe(1)
      expect(stderr).toContain('This user may not make namespaces here')
      expect(stderr).toContain('use a base image that has what the commands make, and packages that come as wheels')
    },
  )
})
