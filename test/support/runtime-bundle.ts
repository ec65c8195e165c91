import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { mustRun } from './command.ts'

/*
 * Images of the runtime, unpacked, for its suite inside of them (`LAYERWRIGHT_TEST_IMAGE`).
 */

const root = path.join(import.meta.dirname, '..', '..')
/** Where the emulator is inside an image; nothing of the image's own is there. */
const EMULATOR = '/emulator'

/** What is built. */
export interface BundleOptions {
  /** Lines of `build` in cog.yaml. */
  readonly build: readonly string[]
  readonly runtime?: 'layerwright' | 'coglet' | undefined
  readonly platform?: string | undefined
  /**
   * Whether its Python files are compiled once it is unpacked, by its own interpreter, as root. On a read-only root every start of
   * a server compiles what it imports: 0.95 CPU s for the launcher, 0.22 with bytecode, and hundreds of tests start one.
   */
  readonly isCompiled?: boolean | undefined
}

/** Compiles all but what nobody imports, some of which does not compile; `-qq` leaves the exit status to tell of a failure. */
const COMPILE = ['-m', 'compileall', '-qq', '--invalidation-mode', 'unchecked-hash', '-x', '/(test|idlelib|lib2to3)/']

/** Builds a small project and unpacks its image. @returns the folder of the OCI bundle: `rootfs` and `config.json` */
export async function makeRuntimeBundle(folder: string, options: BundleOptions): Promise<string> {
  const project = path.join(folder, 'project')
  await mkdir(project, { recursive: true })
  const build = options.build.map((line) => `  ${line}\n`).join('')
  await writeFile(
    path.join(project, 'cog.yaml'),
    `build:\n${build}runtime: ${options.runtime ?? 'layerwright'}\nrun: "predict.py:Predictor"\n`,
  )
  await writeFile(
    path.join(project, 'predict.py'),
    'from cog import BasePredictor\n\n\nclass Predictor(BasePredictor):\n    def predict(self) -> str:\n        return ""\n',
  )
  const layout = path.join(folder, 'layout')
  const platform = options.platform === undefined ? [] : ['--platform', options.platform]
  await mustRun(
    process.execPath,
    [path.join(root, 'bin/layerwright.mjs'), 'build', project, '--refresh', ...platform, '-o', `oci:${layout}:v1`],
    { env: { LAYERWRIGHT_CACHE: path.join(root, '.cache/interop-store') } },
  )
  const unpacked = path.join(folder, 'bundle')
  await mustRun('umoci', ['unpack', '--image', `${layout}:v1`, unpacked])
  if (options.isCompiled === true) {
    const python = [path.join(unpacked, 'rootfs'), '/opt/venv/bin/python']
    const { stdout } = await mustRun('chroot', [
      ...python,
      '-c',
      'import sysconfig; print(sysconfig.get_path("stdlib"))',
    ])
    await mustRun('chroot', [...python, ...COMPILE, '/opt', stdout.trim()])
  }
  return unpacked
}

/**
 * Lets a bundle of another architecture start under user-mode emulation, without telling the kernel of this machine
 * (binfmt_misc) about it: the emulator is the entry point, and starts the model process, too.
 *
 * @param emulator  a static program, such as `/usr/bin/qemu-aarch64-static`
 */
export async function emulate(bundle: string, emulator: string): Promise<void> {
  const inside = path.join(bundle, 'rootfs', EMULATOR)
  await mkdir(inside)
  await copyFile(emulator, path.join(inside, 'qemu'))
  await copyFile('/bin/busybox', path.join(inside, 'sh'))
  await writeFile(path.join(inside, 'python'), `#!${EMULATOR}/sh\nexec ${EMULATOR}/qemu /opt/venv/bin/python "$@"\n`)
  for (const name of ['qemu', 'sh', 'python']) await chmod(path.join(inside, name), 0o755)
  const file = path.join(bundle, 'config.json')
  const config = JSON.parse(await readFile(file, 'utf8')) as { process: { args: string[]; env: string[] } }
  config.process.args.unshift(`${EMULATOR}/qemu`)
  config.process.env.push(`LAYERWRIGHT_PYTHON=${EMULATOR}/python`)
  await writeFile(file, JSON.stringify(config))
}
