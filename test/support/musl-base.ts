import { createHash } from 'node:crypto'
import { access, chmod, cp, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { writeAptConfig } from './apt-config.ts'
import { mustRun } from './command.ts'

/*
 * A base image whose C library is musl, as Alpine's is: Debian's musl, and CPython compiled for it from Debian's source.
 * OpenSSL's libraries are those that a musllinux wheel brings along. Compiled once (some two minutes) and kept in `.cache`.
 */

const RELEASE = 'bookworm'
/** Of this one is the C library: older ones than 1.2.4 do not load what today's Alpine links (DT_RELR). */
const MUSL_RELEASE = 'trixie'
const MACHINE = 'x86_64-linux-musl'
const SOURCE = 'python3.11'
/** A wheel that carries libssl and libcrypto for musl. */
const OPENSSL_WHEEL = 'psycopg2-binary==2.9.13'
const CONFIGURE = ['--without-ensurepip', '--disable-test-modules', '--without-static-libpython', '--prefix=/usr']
/** Alpine's OpenSSL has no compression, Debian's headers have. */
const OPTIONS = 'OPT=-O1 -DNDEBUG -w -DOPENSSL_NO_COMP'
/** The compiler of musl-tools, told which machine it compiles for; Linux's headers come after musl's own. */
const COMPILER = `#!/bin/sh
case $1 in -print-multiarch | --print-multiarch) echo ${MACHINE}; exit ;; esac
exec musl-gcc "$@" -idirafter "$(dirname "$0")/kernel"
`

/**
 * Makes the base.
 *
 * @param cache  where the compiled interpreter is kept
 * @returns a reference to it, `oci:FOLDER:TAG`
 */
export async function makeMuslBase(folder: string, cache: string): Promise<string> {
  const key = createHash('sha256')
    .update(JSON.stringify([RELEASE, MUSL_RELEASE, SOURCE, OPENSSL_WHEEL, CONFIGURE, OPTIONS, COMPILER]))
    .digest('hex')
    .slice(0, 12)
  const root = path.join(cache, `musl-python-${key}`)
  const isThere = await access(root).then(
    () => true,
    () => false,
  )
  await mkdir(folder, { recursive: true })
  if (!isThere) await compile(path.join(folder, 'build'), root)
  const layout = path.join(folder, 'layout')
  await mustRun('umoci', ['init', '--layout', layout])
  await mustRun('umoci', ['new', '--image', `${layout}:v1`])
  // By tar: umoci's own `insert` cuts this tree's archive off.
  const archive = path.join(folder, 'root.tar')
  await mustRun('tar', ['-C', root, '--owner=0', '--group=0', '-cf', archive, 'lib', 'usr'])
  await mustRun('umoci', ['raw', 'add-layer', '--image', `${layout}:v1`, archive])
  return `oci:${layout}:v1`
}

async function compile(folder: string, root: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const config = await writeAptConfig(path.join(folder, 'apt'), RELEASE)
  const env = { APT_CONFIG: config }
  await mustRun('apt-get', ['update'], { env })
  await mustRun('apt-get', ['source', '--download-only', SOURCE], { env, cwd: folder })
  const archive = (await readdir(folder)).find((name) => /\.orig\.tar\.\w+$/.test(name)) ?? ''
  const source = path.join(folder, 'source')
  await mkdir(source)
  await mustRun('tar', ['xf', path.join(folder, archive), '-C', source, '--strip-components', '1'])

  const openssl = await unpackOpenssl(path.join(folder, 'openssl'))
  const compiler = await writeCompiler(path.join(folder, 'compiler'))
  const made = path.join(folder, 'root')
  // Nothing of this machine's own libraries is to be found.
  const build = { cwd: source, env: { PKG_CONFIG: '/bin/false' } }
  const flags = ['-q', `--build=${MACHINE}`, `CC=${compiler}`, `--with-openssl=${openssl}`, OPTIONS]
  await mustRun('./configure', [...flags, ...CONFIGURE], build)
  // CPython's own table of modules, in place of the script that looks into this machine's folders.
  await cp(path.join(source, 'Modules/Setup.stdlib'), path.join(source, 'Modules/Setup.local'))
  await mustRun('make', ['-j2'], build)
  await mustRun('make', ['altbininstall', 'libinstall', 'inclinstall', 'sharedinstall', `DESTDIR=${made}`], build)
  await symlink('python3.11', path.join(made, 'usr/bin/python3'))
  await addLibraries(made, openssl, await unpackMusl(path.join(folder, 'musl')))
  await mkdir(path.dirname(root), { recursive: true })
  await rename(made, root).catch(async () => {
    await cp(made, root, { recursive: true, verbatimSymlinks: true })
  })
  await rm(folder, { recursive: true })
}

/** OpenSSL's headers and, of a wheel for musl, its libraries. */
async function unpackOpenssl(folder: string): Promise<string> {
  const wheels = path.join(folder, 'wheels')
  const tags = ['--only-binary', ':all:', '--platform', 'musllinux_1_2_x86_64', '--python-version', '3.11']
  await mustRun('python3', ['-m', 'pip', 'download', '-q', '--no-deps', ...tags, '-d', wheels, OPENSSL_WHEEL])
  const [wheel = ''] = await readdir(wheels)
  await mustRun('unzip', ['-q', path.join(wheels, wheel), '-d', folder])
  await mkdir(path.join(folder, 'lib'))
  const libraries = path.join(folder, 'psycopg2_binary.libs')
  for (const name of await readdir(libraries)) {
    const library = /^(?<name>lib(?:ssl|crypto))-[0-9a-f]+\.so\.3$/.exec(name)?.groups?.['name']
    if (library === undefined) continue
    await cp(path.join(libraries, name), path.join(folder, 'lib', name))
    await symlink(name, path.join(folder, 'lib', `${library}.so`))
  }
  // Of Debian's libssl-dev; what depends on the machine is the same for both C libraries.
  await mkdir(path.join(folder, 'include'))
  await cp('/usr/include/openssl', path.join(folder, 'include/openssl'), { recursive: true })
  await cp('/usr/include/x86_64-linux-gnu/openssl', path.join(folder, 'include/openssl'), { recursive: true })
  return folder
}

async function writeCompiler(folder: string): Promise<string> {
  const kernel = path.join(folder, 'kernel')
  await mkdir(kernel, { recursive: true })
  await symlink('/usr/include/linux', path.join(kernel, 'linux'))
  await symlink('/usr/include/asm-generic', path.join(kernel, 'asm-generic'))
  await symlink('/usr/include/x86_64-linux-gnu/asm', path.join(kernel, 'asm'))
  const compiler = path.join(folder, 'cc')
  await writeFile(compiler, COMPILER)
  await chmod(compiler, 0o755)
  return compiler
}

/** Debian's musl, verified by apt. @returns the C library, which is the loader, too */
async function unpackMusl(folder: string): Promise<string> {
  const env = { APT_CONFIG: await writeAptConfig(path.join(folder, 'apt'), MUSL_RELEASE) }
  await mustRun('apt-get', ['update'], { env })
  await mustRun('apt-get', ['download', 'musl'], { env, cwd: folder })
  const archive = (await readdir(folder)).find((name) => name.endsWith('.deb')) ?? ''
  await mustRun('dpkg-deb', ['--extract', path.join(folder, archive), path.join(folder, 'root')])
  return path.join(folder, 'root/usr/lib', MACHINE, 'libc.so')
}

/** The C library under the names that Alpine has, and OpenSSL's. */
async function addLibraries(root: string, openssl: string, musl: string): Promise<void> {
  const lib = path.join(root, 'lib')
  await mkdir(lib, { recursive: true })
  await cp(musl, path.join(lib, 'ld-musl-x86_64.so.1'))
  await symlink('ld-musl-x86_64.so.1', path.join(lib, 'libc.musl-x86_64.so.1'))
  for (const name of (await readdir(path.join(openssl, 'lib'))).filter((file) => file.endsWith('.so.3'))) {
    await cp(path.join(openssl, 'lib', name), path.join(lib, name))
  }
}
