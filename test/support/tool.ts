import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, constants, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { packageRoot } from '../../src/core/package-root.ts'
import { oneAtATime } from '../../src/store/single-flight.ts'

const exec = promisify(execFile)

/** The absolute path of a program on PATH; undefined when it is not installed. */
export async function findTool(name: string): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, name)
    if (await isExecutable(path)) return path
  }
  return undefined
}

/**
 * A Go program, built once into the project's cache folder.
 *
 * @param module  with its version, such as `example.org/tool/cmd/tool@v1.2.3`
 * @param within  the module that holds it, where the proxy has that version and yet no list of versions, which `go install` asks for
 * @returns its path; undefined when there is no Go or the module cannot be fetched
 */
export async function goTool(module: string, within?: string): Promise<string | undefined> {
  const name = module.replace(/@.*$/, '').split('/').at(-1) ?? ''
  return built(module, name, async (path, folder) => {
    if (within === undefined) await exec('go', ['install', module], { env: { ...process.env, GOBIN: folder } })
    else await buildWithin(within, module.replace(/^.*@/, ''), module.replace(/@.*$/, ''), path)
  })
}

/**
 * A Go program of a test's own, built as {@link goTool} builds others.
 *
 * @param source  its only file, in a folder that has its name
 * @param module  what it imports, with its version
 */
export async function ownGoTool(source: string, module: string): Promise<string | undefined> {
  const key = createHash('sha256')
    .update(await readFile(source))
    .digest('hex')
    .slice(0, 12)
  const [within = '', version = ''] = module.split('@')
  const name = basename(dirname(source))
  return built(`${name}-${key}@${version}`, name, (path) => buildWithin(within, version, source, path))
}

async function built(
  key: string,
  name: string,
  build: (path: string, folder: string) => Promise<void>,
): Promise<string | undefined> {
  const folder = join(packageRoot(), '.cache', 'go', key.replaceAll(/[^\w.@-]/g, '_'))
  const path = join(folder, name)
  if ((await findTool('go')) === undefined) return (await isExecutable(path)) ? path : undefined
  try {
    // Test files run side by side, and a program that is half written is executable.
    await oneAtATime(join(packageRoot(), '.cache'), key, async () => {
      if (await isExecutable(path)) return
      await mkdir(folder, { recursive: true })
      await build(path, folder)
    })
    return path
  } catch (error) {
    if (isInteropRequired()) throw error
    return undefined
  }
}

/** @param program  a package of the module, or a file that imports it */
async function buildWithin(within: string, version: string, program: string, path: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'go-tool-'))
  await writeFile(join(folder, 'go.mod'), `module tool\n\ngo 1.21\n\nrequire ${within} ${version}\n`)
  const isFile = program.endsWith('.go')
  if (isFile) await copyFile(program, join(folder, basename(program)))
  await exec('go', ['build', '-mod=mod', '-o', path, isFile ? basename(program) : program], { cwd: folder })
  await rm(folder, { recursive: true })
}

/** Whether a missing tool must fail a test instead of skipping it. */
export function isInteropRequired(): boolean {
  return process.env['LAYERWRIGHT_INTEROP'] === 'required'
}

/** Skips a test whose tool is missing, by the tool's name; fails where all tools must be there. */
export function needTool(
  path: string | undefined,
  name: string,
  context: { skip: (note: string) => void },
): asserts path is string {
  if (path !== undefined) return
  if (isInteropRequired()) throw new Error(`${name} is needed and not installed`)
  context.skip(`${name} is not installed`)
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
