// Compiles what hashes several streams at once, where there is a C compiler: an optional part, without which everything works, and takes
// longer. It names no C library, so that one file serves every Linux of a kind of processor. See src/core/sha256/README.md
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'

const sources = path.join(import.meta.dirname, '..', 'src', 'core', 'sha256', 'kernels')
const folder = path.join(import.meta.dirname, '..', 'dist', 'native')
const target = path.join(folder, `${process.platform}-${process.arch}.node`)
const compiler = process.env.CC || 'cc'

rmSync(folder, { recursive: true, force: true })
const reason = lacking()
if (reason === undefined) {
  mkdirSync(folder, { recursive: true })
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'))
  const flags = [
    '-std=gnu11',
    '-O3',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-fPIC',
    '-shared',
    '-nostdlib',
    '-fvisibility=hidden',
    '-fno-stack-protector',
  ]
  const { status, stderr, error } = spawnSync(
    compiler,
    [...flags, '-I', headers(), '-o', target, ...files.map((name) => path.join(sources, name))],
    { encoding: 'utf8' },
  )
  if (status !== 0) {
    console.error(`${compiler} failed: ${error?.message ?? stderr}`)
    process.exitCode = 1
  }
} else console.log(`hashing of several streams at once is left out: ${reason}`)

function lacking() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `not made for ${process.platform} on ${process.arch}`
  const { error } = spawnSync(compiler, ['--version'])
  return error === undefined ? undefined : `no C compiler (\`${compiler}\`)`
}

/** Node's own description of its interface for addons, from the package of that name. */
function headers() {
  const found = path.join(import.meta.dirname, '..', 'node_modules', 'node-api-headers', 'include')
  if (!existsSync(found)) throw new Error('node-api-headers is not installed: run `npm ci`')
  return found
}
