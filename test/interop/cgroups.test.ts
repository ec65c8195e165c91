import { chmodSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'
import { busyboxImage, writeLayout } from '../support/busybox-image.ts'
import { CGROUP_VIEWS } from '../support/cgroup-views.ts'
import { callers, leftovers, makeCallerWorld, type CallerWorld } from '../support/callers.ts'
import type { Finished } from '../support/command.ts'
import { findTool, needTool } from '../support/tool.ts'

/*
 * The same containers where only version 2 of cgroups is mounted, as on today's distributions, and where nothing is, as in many
 * containers. The machine's own mounts are what all the other tests run with.
 */

const isRoot = process.getuid?.() === 0
const PROGRAMS = { podman: 'podman', crun: 'crun', runc: 'runc', bubblewrap: 'bwrap', chroot: 'unshare' } as const
const RUNTIMES = ['podman', 'crun', 'runc', 'bubblewrap', 'chroot'] as const

let all: string
let image: string

beforeAll(async () => {
  all = mkdtempSync('/tmp/lwg-')
  chmodSync(all, 0o755)
  const busybox = await findTool('busybox')
  if (busybox === undefined) return
  await writeLayout(join(all, 'layout'), busyboxImage(busybox))
  image = `oci:${join(all, 'layout')}:latest`
})
afterAll(() => removeTree(all))

describe.runIf(isRoot).each(CGROUP_VIEWS)('with $view', ({ view, enter }) => {
  let world: CallerWorld
  beforeAll(async () => {
    const folder = mkdtempSync(join(all, 'w-'))
    chmodSync(folder, 0o755)
    world = await makeCallerWorld(folder, enter)
  })
  afterAll(() => world.close())

  describe.each(callers)('as $name', ({ name, uid }) => {
    test.for(RUNTIMES)('%s runs a container, or says why not', async (runtime, context) => {
      await need(runtime, context)
      needTool(uid < 0 ? undefined : 'yes', name, context)
      const home = world.homeOf(uid)
      const { status, stdout, stderr } = await exec(world, uid, home, ['--runtime', runtime])
      if (runtime === 'podman' && view === 'no cgroups') {
        expect(stderr).toContain('podman needs cgroups, and none are mounted at /sys/fs/cgroup')
        expect(status).toBe(1)
      } else {
        expect([stdout, status], stderr).toEqual(['from the image\n', 7])
      }
      expect(leftovers(home)).toEqual([])
    })
  })

  test('something that works is chosen', async (context) => {
    await need('crun', context)
    const { status, stderr } = await exec(world, 0, world.homeOf(0), [])
    expect(status, stderr).toBe(7)
    if (view === 'no cgroups') expect(stderr).toContain('Running with crun')
  })
})

function exec(world: CallerWorld, uid: number, home: string, args: readonly string[]): Promise<Finished> {
  return world.call(uid, home, ['exec', ...args, '--image', image, '--', '/bin/sh', '-c', 'cat hello; exit 7'])
}

async function need(runtime: keyof typeof PROGRAMS, context: TestContext): Promise<void> {
  needTool(await findTool(PROGRAMS[runtime]), PROGRAMS[runtime], context)
}
