// Tries a folder of projects, each in a folder of its own with a cog.yaml, and prints what becomes of them.
//
//   node tools/projects.mjs FOLDER [PROJECT...]
//
// For each project: whether its model is described and its build planned (the code of the error if not), and the
// seconds of both. Nothing is built but packages without a wheel; indexes and registries are asked. Needs `npm run build`.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../bin/layerwright.mjs', import.meta.url))
const [folder, ...wanted] = process.argv.slice(2)
if (folder === undefined) throw new Error('Usage: node tools/projects.mjs FOLDER [PROJECT...]')

const names =
  wanted.length > 0 ? wanted : readdirSync(folder).filter((name) => existsSync(join(folder, name, 'cog.yaml')))
const counts = { described: 0, planned: 0 }
for (const name of names.toSorted()) {
  const project = join(folder, name)
  const described = run(['schema', '--openapi', project])
  const planned = run(['plan', project, '--progress', 'none'])
  if (described.outcome === 'ok') counts.described++
  if (planned.outcome === 'ok') counts.planned++
  console.log(`${name}\t${described.outcome}\t${planned.outcome}\t${(described.seconds + planned.seconds).toFixed(1)}`)
}
console.log(`${names.length} projects: ${counts.described} described, ${counts.planned} planned`)

/** `ok`, else the code of the error. */
function run(args) {
  const start = performance.now()
  const { status, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: 600_000 })
  const code = /^error\[([A-Z_]+)\]/m.exec(stderr)?.[1] ?? `status ${status}`
  return { outcome: status === 0 ? 'ok' : code, seconds: (performance.now() - start) / 1000 }
}
