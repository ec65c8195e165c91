import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'
import { busyboxImage, writeLayout } from '../support/busybox-image.ts'
import { callers, leftovers, makeCallerWorld, type CallerWorld } from '../support/callers.ts'
import { findTool, needTool } from '../support/tool.ts'

/*
 * GPUs without a GPU: a driver of text files, nodes that are /dev/zero by another name, and CDI specifications, handed
 * over by each real runtime, as root, with a range of user ids and with a single one.
 */

const RUNTIMES = { podman: 'podman', crun: 'crun', runc: 'runc', bubblewrap: 'bwrap' } as const
const DRIVER = '550.54.15'
const isRoot = process.getuid?.() === 0

let all: string
let world: CallerWorld | undefined

beforeAll(async () => {
  // Below a place that other users may enter.
  all = mkdtempSync('/tmp/lwg-')
  chmodSync(all, 0o755)
  const busybox = await findTool('busybox')
  if (busybox === undefined || !isRoot) return
  const plain = { Env: ['PATH=/bin', 'LD_LIBRARY_PATH=/opt/lib'] }
  await writeLayout(join(all, 'fitting'), busyboxImage(busybox, withRequirement(plain, 'cuda>=12.4')))
  await writeLayout(join(all, 'newer'), busyboxImage(busybox, withRequirement(plain, 'cuda>=12.8')))
  makeDriver(join(all, 'driver'))
  makeSpecifications(join(all, 'cdi'))
  world = await makeCallerWorld(all)
})
afterAll(() => {
  world?.close()
  removeTree(all)
})

const withRequirement = (runtime: { readonly Env: string[] }, requirement: string): { Env: string[] } => ({
  Env: [...runtime.Env, `NVIDIA_REQUIRE_CUDA=${requirement}`],
})

describe.each(callers)('as $name', ({ name, uid }) => {
  const cases = (Object.keys(RUNTIMES) as (keyof typeof RUNTIMES)[])
    // Without subordinate ids podman maps nobody but its caller, and has no device to bind for it.
    .filter((runtime) => uid !== 65534 || runtime !== 'podman')

  const exec = async (
    runtime: keyof typeof RUNTIMES,
    gpus: string,
    image: string,
    script: string,
    context: TestContext,
  ): Promise<{ readonly status: number | null; readonly lines: string[]; readonly stderr: string }> => {
    needTool(await findTool('busybox'), 'busybox', context)
    needTool(await findTool(RUNTIMES[runtime]), RUNTIMES[runtime], context)
    needTool(uid < 0 ? undefined : 'yes', name, context)
    if (!isRoot || world === undefined) return context.skip('needs root to make nodes and to become somebody else')
    const home = world.homeOf(uid)
    const { status, stdout, stderr } = await world.call(
      uid,
      home,
      [
        'exec',
        '--runtime',
        runtime,
        '--gpus',
        gpus,
        '--image',
        `oci:${join(all, image)}:latest`,
        '--',
        '/bin/sh',
        '-c',
        script,
      ],
      {
        LAYERWRIGHT_CDI_DIRS: gpus.includes('=') ? join(all, 'cdi') : join(all, 'nothing'),
        LAYERWRIGHT_NVIDIA_ROOT: join(all, 'driver'),
      },
    )
    expect(leftovers(home)).toEqual([])
    return { status, lines: stdout.trim().split('\n'), stderr }
  }

  test.for(cases)('%s gets a driver that no CDI specification describes', async (runtime, context) => {
    const script = [
      'echo "$LD_LIBRARY_PATH $NVIDIA_VISIBLE_DEVICES"',
      'cat /usr/local/nvidia/lib64/libcuda.so.1 /usr/local/nvidia/lib64/libnvidia-ml.so.550.54.15',
      'ls /usr/local/nvidia/lib64',
      '/usr/bin/nvidia-smi',
      'for node in nvidia0 nvidia1 nvidiactl; do head -c 4 /dev/$node 2>/dev/null | wc -c; done',
      'touch /usr/local/nvidia/lib64/libcuda.so.1 2>/dev/null && echo writable',
    ].join('\n')
    const { lines, stderr } = await exec(runtime, '1', 'fitting', script, context)
    expect(lines, stderr).toEqual([
      '/opt/lib:/usr/local/nvidia/lib64 void',
      'cuda 550',
      'ml 550',
      'libcuda.so.1',
      'libcuda.so.550.54.15',
      'libnvidia-ml.so.1',
      'libnvidia-ml.so.550.54.15',
      'smi of the host',
      '0',
      '4',
      '4',
    ])
  })

  test.for(cases)('%s gets devices of AMD and of Intel by their names', async (runtime, context) => {
    const script = 'echo "$AMD $INTEL"; for node in kfd dri/renderD128 dri/card1; do head -c 4 /dev/$node | wc -c; done'
    const { lines, stderr } = await exec(runtime, 'amd.com/gpu=0,intel.com/gpu=card1', 'fitting', script, context)
    expect(lines, stderr).toEqual(['yes yes', '4', '4', '4'])
  })

  test.for(cases)('%s never starts an image that asks for a newer driver', async (runtime, context) => {
    const { status, lines, stderr } = await exec(runtime, 'all', 'newer', 'echo started', context)
    expect(status).toBe(1)
    expect(lines).toEqual([''])
    expect(stderr).toContain(`The driver ${DRIVER} does not fit the image: NVIDIA_REQUIRE_CUDA asks for cuda>=12.8`)
  })
})

function makeDriver(root: string): void {
  const put = (path: string, text: string, mode = 0o644): void => {
    mkdirSync(join(root, path, '..'), { recursive: true, mode: 0o755 })
    writeFileSync(join(root, path), text, { mode })
  }
  put(`usr/lib/x86_64-linux-gnu/libcuda.so.${DRIVER}`, 'cuda 550\n')
  put(`usr/lib/x86_64-linux-gnu/libnvidia-ml.so.${DRIVER}`, 'ml 550\n')
  put('usr/lib/x86_64-linux-gnu/libcuda.so.470.1.1', 'an older one\n')
  put('usr/bin/nvidia-smi', '#!/bin/sh\necho smi of the host\n', 0o755)
  put('proc/driver/nvidia/version', `NVRM version: NVIDIA UNIX x86_64 Kernel Module  ${DRIVER}  Tue\n`)
  for (const name of ['nvidia0', 'nvidia1', 'nvidiactl']) makeNode(join(root, 'dev', name))
}

/** A node that gives zeros. */
function makeNode(path: string): void {
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o755 })
  execFileSync('mknod', ['-m', '666', path, 'c', '1', '5'])
}

function makeSpecifications(folder: string): void {
  mkdirSync(folder, { mode: 0o755 })
  const nodes = join(all, 'nodes')
  for (const name of ['kfd', 'renderD128', 'card1']) makeNode(join(nodes, name))
  const put = (file: string, kind: string, device: string, env: string, paths: readonly string[]): void => {
    const deviceNodes = paths.map((path) => ({ path: `/dev/${path}`, hostPath: join(nodes, path.replace('dri/', '')) }))
    const spec = { cdiVersion: '0.6.0', kind, devices: [{ name: device, containerEdits: { env: [env], deviceNodes } }] }
    writeFileSync(join(folder, file), JSON.stringify(spec), { mode: 0o644 })
  }
  put('amd.json', 'amd.com/gpu', '0', 'AMD=yes', ['kfd', 'dri/renderD128'])
  put('intel.json', 'intel.com/gpu', 'card1', 'INTEL=yes', ['dri/card1'])
}
