/**
 * What does looking at a project of many small files cost: at first, again with nothing changed, and with one file changed?
 *
 * The image goes to a layout, its base comes from one; beside it `find`, which looks at each file once, too. The files are younger
 * than a look believes, so the benchmark waits before the first. Medians of `--runs` (1). Prints JSON. Needs GNU time and the program
 * built (`npm run build`). Node 22.18 or newer runs it as it is; `--node` names the Node that builds.
 *
 * `node bench/project.ts --base oci:FOLDER [--files 1,100000,400000] [--runs 1] [--node node]`
 */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { medians, round, run, timed, type Cost } from './build/measure.ts'

const { values: options } = parseArgs({
  options: {
    base: { type: 'string' },
    files: { type: 'string', default: '1,100000,400000' },
    runs: { type: 'string', default: '1' },
    node: { type: 'string', default: process.execPath },
    program: { type: 'string', default: 'bin/layerwright.mjs' },
    scratch: { type: 'string', default: tmpdir() },
  },
})
if (options.base === undefined) throw new TypeError('Say what the images stand on: --base oci:FOLDER')

/** How long a file must have lain untouched before its hash is remembered. */
const SETTLED_MS = 3500

const program = path.resolve(options.program)
const base = `oci:${path.resolve(options.base.replace(/^oci:/, ''))}`
const folder = await mkdtemp(path.join(options.scratch, 'lw-bench-project-'))
try {
  const results: Record<string, Record<string, Cost>> = {}
  for (const count of options.files.split(',').map(Number)) {
    const project = path.join(folder, `project-${count}`)
    await writeProject(project, count)
    const costs: Record<string, Cost[]> = {}
    for (let n = 0; n < Number(options.runs); n++) {
      for (const [name, cost] of Object.entries(await measure(project))) (costs[name] ??= []).push(cost)
    }
    results[count] = Object.fromEntries(Object.entries(costs).map(([name, all]) => [name, round(medians(all))]))
    process.stderr.write(`${count}: ${JSON.stringify(results[count])}\n`)
    await rm(project, { recursive: true, force: true })
  }
  const result = {
    question: 'a project of many files -> an image in a layout',
    machine: `${cpus().length} x ${cpus()[0]?.model}, node ${(await run(options.node, ['--version'])).trim()}`,
    load: loadavg()[0],
    files: results,
  }
  process.stdout.write(`${JSON.stringify(result, undefined, 1)}\n`)
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function writeProject(project: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const place = path.join(project, 'assets', String(n % 100).padStart(2, '0'), String(Math.floor(n / 100) % 10))
    if (n < 1000) await mkdir(place, { recursive: true })
    await writeFile(path.join(place, `file-${n}.txt`), `content of file ${n}\n`.repeat(5))
  }
  await writeFile(
    path.join(project, 'cog.yaml'),
    `build:\n  base_image: "${base}"\n  python_version: "3.11"\nrun: "run.py:Runner"\n`,
  )
  await copyFile('examples/hello/run.py', path.join(project, 'run.py'))
}

async function measure(project: string): Promise<Record<string, Cost>> {
  const store = path.join(folder, 'store')
  const layout = path.join(folder, 'layout')
  const build = (): Promise<Cost> =>
    timed([options.node, program, 'build', project, '-o', `oci:${layout}`, '--quiet'], { LAYERWRIGHT_CACHE: store })
  await setTimeout(SETTLED_MS)
  const first = await build()
  const again = await build()
  await writeFile(path.join(project, 'assets/00/0/file-0.txt'), `${Math.random()}\n`)
  await setTimeout(SETTLED_MS)
  const changed = await build()
  const find = await timed(['find', project, '-printf', '%i %s %T@ %C@ %m %p\n'])
  await rm(store, { recursive: true, force: true })
  await rm(layout, { recursive: true, force: true })
  return { first, again, changed, find }
}
