import {
  closeSync,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { BuildError, systemErrorCode } from '../../core/errors.ts'
import type { BindMount, ContainerDevice } from '../container.ts'
import { makeDevice } from '../cdi/apply.ts'
import type { DeviceEdits } from '../run-container.ts'

/** NVIDIA's driver as it lies on a host without CDI. */
export interface NvidiaDriver {
  /** Such as `570.124.06`. */
  readonly version: string
  /** Library files of exactly this version. */
  readonly libraries: readonly string[]
  readonly programs: readonly string[]
  /** `/dev/nvidia0`, ...; and those that every container needs, such as `/dev/nvidiactl`. */
  readonly gpus: readonly string[]
  readonly control: readonly string[]
}

/** Where a host is looked at; tests make one of their own. */
export interface DriverPlaces {
  readonly libraries: readonly string[]
  readonly programs: readonly string[]
  readonly devices: string
  readonly version: string
}

/** Where the distributions, Kubernetes and NixOS put a driver. */
const HOST_PLACES: DriverPlaces = {
  libraries: [
    '/usr/lib/x86_64-linux-gnu',
    '/usr/lib/aarch64-linux-gnu',
    '/usr/lib64',
    '/usr/lib',
    '/usr/local/nvidia/lib64',
    '/usr/lib/x86_64-linux-gnu/nvidia/current',
    '/run/opengl-driver/lib',
  ],
  programs: ['/usr/bin', '/usr/local/nvidia/bin', '/run/current-system/sw/bin'],
  devices: '/dev',
  version: '/proc/driver/nvidia/version',
}

/**
 * Places of a driver that lies below a folder, as a driver container of Kubernetes keeps it (`/run/nvidia/driver`).
 * Nodes and the kernel's words are taken from there where they are, else from the machine.
 *
 * @param root undefined or empty for the machine itself
 */
export function driverPlaces(root: string | undefined): DriverPlaces {
  if (root === undefined || root === '') return HOST_PLACES
  const below = (path: string): string => join(root, path)
  const first = (path: string): string => (existsSync(below(path)) ? below(path) : path)
  return {
    libraries: HOST_PLACES.libraries.map(below),
    programs: HOST_PLACES.programs.map(below),
    devices: list(below('dev')).some((name) => name.startsWith('nvidia')) ? below('dev') : HOST_PLACES.devices,
    version: first(HOST_PLACES.version),
  }
}

/** What computing and looking at the GPU take; graphics and video stay out. */
const LIBRARIES = [
  'libcuda.so',
  'libcudadebugger.so',
  'libnvidia-ml.so',
  'libnvidia-cfg.so',
  'libnvidia-nvvm.so',
  'libnvidia-opencl.so',
  'libnvidia-gpucomp.so',
  'libnvidia-ptxjitcompiler.so',
  'libnvidia-allocator.so',
  'libnvidia-pkcs11.so',
  'libnvidia-pkcs11-openssl3.so',
  'libnvidia-nscq.so',
]
const PROGRAMS = [
  'nvidia-smi',
  'nvidia-debugdump',
  'nvidia-persistenced',
  'nvidia-cuda-mps-control',
  'nvidia-cuda-mps-server',
]
const ELF = Buffer.from('\u007FELF')
const CONTROL = ['nvidiactl', 'nvidia-uvm', 'nvidia-uvm-tools', 'nvidia-modeset']

/** Finds the driver; undefined when there is none. */
export function findNvidiaDriver(places: DriverPlaces = HOST_PLACES): NvidiaDriver | undefined {
  const found = places.libraries.flatMap((folder) => list(folder).map((name) => join(folder, name)))
  const version = kernelVersion(places.version) ?? libraryVersion(found)
  const devices = list(places.devices)
  const gpus = devices
    .filter((name) => /^nvidia\d+$/.test(name))
    .sort((a, b) => Number(a.slice(6)) - Number(b.slice(6)))
  if (version === undefined || gpus.length === 0) return undefined
  const wanted = LIBRARIES.map((name) => `${name}.${version}`)
  return {
    version,
    libraries: distinct(found.filter((path) => wanted.includes(basename(path)))),
    programs: PROGRAMS.flatMap((name) => programOf(name, places.programs)),
    gpus: gpus.map((name) => join(places.devices, name)),
    control: CONTROL.filter((name) => devices.includes(name)).map((name) => join(places.devices, name)),
  }
}

/** Folder of the container where the driver's libraries go; the images of nvidia/cuda look there. */
const LIBRARY_FOLDER = '/usr/local/nvidia/lib64'

/**
 * What a container gets from a driver found on the host: its nodes, its libraries under their file and library names, and
 * `LD_LIBRARY_PATH` with their folder at its end, as no loader cache lists them.
 *
 * @param indices which GPUs; undefined for all
 * @throws BuildError HOST_UNSUPPORTED for a GPU that is not there
 */
export function driverEdits(
  driver: NvidiaDriver,
  indices: readonly number[] | undefined,
  imageLibraryPath: string | undefined,
): DeviceEdits {
  const gpus = indices === undefined ? driver.gpus : indices.map((index) => gpuOf(driver, index))
  const stat = (path: string): ReturnType<typeof statSync> => statSync(path, { throwIfNoEntry: false })
  const devices: ContainerDevice[] = [...driver.control, ...gpus].map((path) =>
    makeDevice({ path: `/dev/${basename(path)}`, hostPath: path }, stat as never),
  )
  const options = ['ro', 'nosuid', 'nodev', 'rbind', 'rprivate']
  const binds: BindMount[] = driver.libraries.flatMap((path) => {
    const name = basename(path)
    const soname = `${name.slice(0, name.indexOf('.so'))}.so.1`
    return [name, soname].map((target) => ({ source: path, destination: `${LIBRARY_FOLDER}/${target}`, options }))
  })
  const programs = driver.programs.map((path) => ({ source: path, destination: `/usr/bin/${basename(path)}`, options }))
  const folders = (imageLibraryPath ?? '').split(':').filter((folder) => folder !== '')
  return {
    env: {
      // Keeps a hook of NVIDIA's, where one is configured, from doing the same again.
      NVIDIA_VISIBLE_DEVICES: 'void',
      LD_LIBRARY_PATH: folders.includes(LIBRARY_FOLDER) ? folders.join(':') : [...folders, LIBRARY_FOLDER].join(':'),
    },
    devices,
    binds: [...binds, ...programs],
    hooks: {},
    additionalGids: [],
  }
}

function gpuOf(driver: NvidiaDriver, index: number): string {
  const path = driver.gpus.find((candidate) => candidate.endsWith(`nvidia${index}`))
  if (path !== undefined) return path
  const known = driver.gpus.map((candidate) => candidate.slice(candidate.lastIndexOf('nvidia') + 6)).join(', ')
  throw new BuildError('HOST_UNSUPPORTED', `No GPU has this number: ${index}`, { hint: `There are: ${known}.` })
}

function kernelVersion(file: string): string | undefined {
  try {
    return /Kernel Module(?: for \S+)?\s+(\d+\.\d+(?:\.\d+)?)/.exec(readFileSync(file, 'utf8'))?.[1]
  } catch (error) {
    // Absent without the module, and in containers that see no /proc/driver.
    if (systemErrorCode(error) === undefined) throw error
    return undefined
  }
}

function libraryVersion(paths: readonly string[]): string | undefined {
  return paths
    .map((path) => /libcuda\.so\.(\d+\.\d+(?:\.\d+)?)$/.exec(path)?.[1])
    .find((version) => version !== undefined)
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error
    return []
  }
}

/** Each file once, by its first path: `/usr/lib64` may be a link to another of the folders. */
function distinct(paths: readonly string[]): string[] {
  const seen = new Set<string>()
  return paths.filter((path) => {
    const key = lstatSync(path).isSymbolicLink() ? basename(path) : realpathSync(join(dirname(path), basename(path)))
    return seen.has(key) || seen.has(basename(path)) ? false : seen.add(key).add(basename(path))
  })
}

/** The first that is a program itself: what lies before it on the PATH may be a script that starts it where it lies on the host. */
function programOf(name: string, folders: readonly string[]): readonly string[] {
  const found = folders.map((folder) => join(folder, name)).filter(isThere)
  return [found.find(isElf) ?? found[0] ?? []].flat()
}

function isElf(path: string): boolean {
  const file = openSync(path, 'r')
  try {
    const start = Buffer.alloc(4)
    return readSync(file, start) === 4 && start.equals(ELF)
  } finally {
    closeSync(file)
  }
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}
