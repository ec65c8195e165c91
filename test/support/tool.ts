import { execFile } from 'node:child_process'
import { access, constants, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
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
  const folder = join(packageRoot(), '.cache', 'go', module.replaceAll(/[^\w.@-]/g, '_'))
  const path = join(folder, name)
  if ((await findTool('go')) === undefined) return (await isExecutable(path)) ? path : undefined
  try {
    // Test files run side by side, and a program that is half written is executable.
    await oneAtATime(join(packageRoot(), '.cache'), module, async () => {
      if (await isExecutable(path)) return
      await mkdir(folder, { recursive: true })
      if (within === undefined) await exec('go', ['install', module], { env: { ...process.env, GOBIN: folder } })
      else await buildWithin(within, module, path)
    })
    return path
  } catch (error) {
    if (isInteropRequired()) throw error
    return undefined
  }
}

async function buildWithin(within: string, module: string, path: string): Promise<void> {
  const [program = '', version = ''] = module.split('@')
  const folder = await mkdtemp(join(tmpdir(), 'go-tool-'))
  await writeFile(join(folder, 'go.mod'), `module tool\n\ngo 1.21\n\nrequire ${within} ${version}\n`)
  await exec('go', ['build', '-mod=mod', '-o', path, program], { cwd: folder })
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
