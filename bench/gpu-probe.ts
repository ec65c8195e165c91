/**
 * Does a model see the GPU of this machine on every runtime, and does running out of its memory fail one prediction only?
 *
 * Builds a small image whose model loads `libcuda.so.1` through ctypes, serves it with each runtime that is installed, asks
 * for the devices, for twice the memory of the first (which has to fail, with CUDA's own words) and for a little again
 * (which has to succeed). Where the machine has a torch for the same Python, the folder that holds it is bound read-only and a
 * product of two matrices computed with it. Prints JSON; without a GPU it says so and is done.
 *
 * Needs a built program (`npm run build`): `node bench/gpu-probe.ts [--gpus all] [--python 3.11] [--base oci:FOLDER]`. Node
 * 22.18 or newer runs this file as it is. Without `--base` the image stands on Debian, from its archive. Ends with status 1 when something that was tried failed.
 */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { loadCdi } from '../src/run/cdi/registry.ts'
import { driverPlaces, findNvidiaDriver } from '../src/run/gpu/nvidia-driver.ts'
import { isInstalled, predict, serveModel } from './gpu/server.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const program = path.join(root, 'bin/layerwright.mjs')
const PROGRAMS = { podman: 'podman', crun: 'crun', runc: 'runc', bubblewrap: 'bwrap', chroot: 'unshare' } as const

const RUNNER = `import ctypes
import os
import sys

from cog import BaseRunner


def check(status: int, what: str) -> None:
    if status == 2:
        raise MemoryError(f"{what}: CUDA_ERROR_OUT_OF_MEMORY")
    if status:
        raise RuntimeError(f"{what}: error {status} of CUDA")


class Runner(BaseRunner):
    def setup(self) -> None:
        self.cuda = ctypes.CDLL("libcuda.so.1")
        check(self.cuda.cuInit(0), "cuInit")

    def run(self, megabytes: int = 0, torch: bool = False) -> str:
        if torch:
            sys.path.append("/host-packages")
            import torch

            square = torch.ones(256, 256, device="cuda")
            return f"{torch.__version__} {float((square @ square).sum())}"
        device, context, total = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_size_t()
        version, count, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(100)
        check(self.cuda.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
        check(self.cuda.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
        check(self.cuda.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
        check(self.cuda.cuDeviceGetName(name, 100, device), "cuDeviceGetName")
        check(self.cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device), "cuDeviceTotalMem")
        if megabytes:
            check(self.cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device), "cuCtxCreate")
            try:
                memory = ctypes.c_uint64()
                check(self.cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(megabytes << 20)), "cuMemAlloc")
                check(self.cuda.cuMemFree_v2(memory), "cuMemFree")
            finally:
                self.cuda.cuCtxDestroy_v2(context)
        return f"{name.value.decode()}|{count.value}|{total.value >> 20}|{version.value}"
`

const { values } = parseArgs({
  options: {
    gpus: { type: 'string', default: 'all' },
    python: { type: 'string', default: '3.11' },
    base: { type: 'string' },
  },
})
const driver = findNvidiaDriver(driverPlaces(process.env['LAYERWRIGHT_NVIDIA_ROOT']))
const cdi = loadCdi(process.env['LAYERWRIGHT_CDI_DIRS']?.split(':')).names.filter((name) =>
  name.startsWith('nvidia.com/'),
)
if (driver === undefined && cdi.length === 0) {
  console.log(
    JSON.stringify({ skipped: 'this machine has no GPU of NVIDIA: neither a driver nor a CDI specification' }),
  )
} else {
  await probe()
}

async function probe(): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'gpu-probe-'))
  try {
    const project = path.join(folder, 'project')
    await mkdir(project)
    const base = values.base === undefined ? '' : `  base_image: "${values.base}"\n`
    await writeFile(
      path.join(project, 'cog.yaml'),
      `build:\n  python_version: "${values.python}"\n${base}run: "run.py:Runner"\n`,
    )
    await writeFile(path.join(project, 'run.py'), RUNNER)
    const image = `oci:${folder}/image:v1`
    const env = { ...process.env, LAYERWRIGHT_CACHE: path.join(folder, 'store') }
    await run('node', [program, 'build', project, '-q', '-o', image], { env })
    const torch = await hostTorch()
    const results: Record<string, unknown> = {}
    for (const [runtime, name] of Object.entries(PROGRAMS)) {
      results[runtime] = (await isInstalled(name)) ? await ask(runtime, image, env, torch) : 'not installed'
    }
    const isGood = Object.values(results).every(
      (result) => typeof result === 'string' || (result as { ok: boolean }).ok,
    )
    console.log(JSON.stringify({ driver: driver?.version, cdi, torch, results }, undefined, 2))
    process.exitCode = isGood ? 0 : 1
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The folder of the machine's torch, or why there is none to use. */
async function hostTorch(): Promise<{ readonly folder: string } | { readonly skipped: string }> {
  const script =
    'import os, sys, torch; print("%d.%d" % sys.version_info[:2]); print(os.path.dirname(os.path.dirname(torch.__file__)))'
  try {
    const [version, folder = ''] = (await run('python3', ['-c', script])).stdout.trim().split('\n')
    return version === values.python
      ? { folder }
      : { skipped: `the machine's torch is for Python ${version}: --python ${version}` }
  } catch {
    // No Python, or no torch in it.
    return { skipped: 'this machine has no torch for python3' }
  }
}

async function ask(
  runtime: string,
  image: string,
  env: NodeJS.ProcessEnv,
  torch: Awaited<ReturnType<typeof hostTorch>>,
): Promise<unknown> {
  const bind = 'folder' in torch ? ['-v', `${torch.folder}:/host-packages:ro`] : []
  try {
    const server = await serveModel(program, [image, '-q', '--runtime', runtime, '--gpus', values.gpus, ...bind], env)
    try {
      return await examine(server.port, torch)
    } finally {
      await server.close()
    }
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) }
  }
}

async function examine(port: number, torch: Awaited<ReturnType<typeof hostTorch>>): Promise<unknown> {
  const seen = await predict(port, {})
  const totalMegabytes = Number(String(seen.output).split('|')[2] ?? 0)
  const starved = await predict(port, { megabytes: 2 * totalMegabytes })
  const after = await predict(port, { megabytes: 16 })
  const product = 'folder' in torch ? await predict(port, { torch: true }) : torch.skipped
  const ok =
    seen.status === 'succeeded' &&
    starved.status === 'failed' &&
    (starved.error ?? '').includes('OUT_OF_MEMORY') &&
    after.status === 'succeeded' &&
    (typeof product === 'string' || product.status === 'succeeded')
  return {
    ok,
    seen: seen.output ?? seen.error,
    starved: starved.error,
    after: after.status,
    torch: typeof product === 'string' ? product : (product.output ?? product.error),
  }
}
