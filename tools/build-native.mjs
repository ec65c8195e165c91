// Compiles what hashes several streams at once and inflates, where there is a C compiler: an optional part, without which everything works, and takes
// longer. It names no C library, so that one file serves every Linux of a kind of processor. See src/core/native/README.md
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'

const root = path.join(import.meta.dirname, '..')
const sources = path.join(root, 'src', 'core', 'native', 'kernels')
const folder = path.join(root, 'dist', 'native')
/** Node's own description of its interface for addons, from the package of that name. */
const headers = path.join(root, 'node_modules', 'node-api-headers', 'include')
const target = path.join(folder, `${process.platform}-${process.arch}.node`)
const compiler = process.env.CC || 'cc'
const FLAGS = '-std=gnu11 -O3 -Wall -Wextra -fPIC -shared -nostdlib -fvisibility=hidden -fno-stack-protector'.split(' ')

rmSync(folder, { recursive: true, force: true })
const reason = lacking() ?? compile()
// An unusual compiler is no reason not to have the rest; that it is built where it should be, a test sees (`test/core/native`).
if (reason !== undefined)
  console.warn(`Each stream will be hashed by Node alone, and inflated in WebAssembly: ${reason}`)

function lacking() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `the addon is not made for ${process.platform} on ${process.arch}`
  if (!existsSync(headers)) return 'node-api-headers is not installed'
  const { error } = spawnSync(compiler, ['--version'])
  return error === undefined ? undefined : `there is no C compiler (\`${compiler}\`)`
}

function compile() {
  mkdirSync(folder, { recursive: true })
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'))
  const inputs = files.map((name) => path.join(sources, name))
  const { status, stderr } = spawnSync(compiler, [...FLAGS, '-I', headers, '-o', target, ...inputs], {
    encoding: 'utf8',
  })
  if (status === 0 && stderr === '') return undefined
  if (status === 0) return void console.warn(stderr)
  rmSync(folder, { recursive: true, force: true })
  return `${compiler} failed:\n${stderr}`
}
