import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'

/** What the image of a model stands on and where its packages come from. */
export interface ProjectOptions {
  readonly base?: string | undefined
  readonly index?: string | undefined
  readonly python: string
  readonly torch: string
  readonly cuda?: string | undefined
  readonly hasBytecode?: boolean
  readonly architectures?: readonly string[]
}

/** Writes a project whose model uses torch: `model` or `batched`, as they lie beside this file. */
export async function writeProject(folder: string, model: string, options: ProjectOptions): Promise<string> {
  const { base, index, python, torch, cuda, hasBytecode, architectures } = options
  const list = (values: readonly string[]): string => `[${values.map((value) => `"${value}"`).join(', ')}]`
  const lines = [
    'build:',
    '  gpu: true',
    `  python_version: "${python}"`,
    `  python_packages: ${list([`torch==${torch}`, 'numpy'])}`,
    ...(base === undefined ? ['  base: slim'] : [`  base_image: "${base}"`]),
    ...(index === undefined ? [] : [`  python_index: { url: "${index}" }`]),
    ...(cuda === undefined ? [] : [`  cuda: "${cuda}"`]),
    ...(hasBytecode === true ? ['  bytecode: true'] : []),
    ...(architectures === undefined ? [] : [`  targets: { architectures: ${list(architectures)} }`]),
    ...(model === 'batched' ? ['batch: { max_size: 32, max_wait_ms: 5 }'] : []),
    'run: "run.py:Runner"',
  ]
  await mkdir(folder, { recursive: true })
  await writeFile(path.join(folder, 'cog.yaml'), `${lines.join('\n')}\n`)
  await copyFile(path.join(import.meta.dirname, model, 'run.py'), path.join(folder, 'run.py'))
  return folder
}
