import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { expect, test } from 'vitest'

/** The picture: a file imports its own folder or a lower line, never a sibling on its line. */
const LINES: readonly (readonly string[])[] = [
  ['src/cli'],
  ['src/build', 'src/attest', 'src/doctor', 'src/index.ts', 'src/check', 'src/versions'],
  [
    'src/resolve',
    'src/destinations',
    'src/run',
    'src/init',
    'src/remote-cache',
    'src/queue',
    'src/deploy',
    'src/route',
  ],
  ['src/plan', 'src/image', 'src/weights'],
  ['layers', 'src/bases', 'src/lock', 'src/pipelines'],
  ['registry', 'src/python', 'src/debian', 'src/predictor', 'src/store', 'src/config', 'src/compat'],
  ['src/core'],
]

const ROOT = join(import.meta.dirname, '..')
const IMPORT = /(?:from|import)\s*\(?\s*'(\.[^']+)'/g
const EXPORT = /^export (declare |abstract |async )*(function|const|let|class|interface|type|enum)\b(?! [{*])/
const files = ['src', 'layers', 'registry'].flatMap((top) => list(join(ROOT, top)))

test('imports point down only', () => {
  const wrong: string[] = []
  for (const file of files) {
    for (const target of importsOf(file)) {
      const [from, to] = [placeOf(file), placeOf(target)]
      if (from.folder === to.folder || from.line < to.line) continue
      wrong.push(`${relative(ROOT, file)} imports ${relative(ROOT, target)}`)
    }
  }
  expect(wrong).toEqual([])
})

test('no files import each other in a circle, types included', () => {
  const all = ['src', 'layers', 'registry', 'packages', 'bench', 'test'].flatMap((top) => list(join(ROOT, top)))
  const circles = circlesOf(new Map(all.map((file) => [file, importsOf(file)])))
  expect(circles.map((circle) => circle.map((file) => relative(ROOT, file)))).toEqual([])
})

test('circlesOf() finds a file that comes back to itself, over any number of others', () => {
  const imports = { a: ['b'], b: ['c', 'd'], c: ['b'], d: ['e', 'elsewhere'], e: [], f: ['f'], g: ['a', 'e'] }
  expect(circlesOf(new Map(Object.entries(imports)))).toEqual([['b', 'c'], ['f']])
})

test('every source file has its line in the picture', () => {
  const lost = files.filter((file) => placeOf(file).line === -1).map((file) => relative(ROOT, file))
  expect(lost).toEqual([])
})

test('each outside package has one door', () => {
  const doors: Readonly<Record<string, RegExp>> = {
    'node-fetch': /^src\/core\/(http|net\/.*)\.ts$/,
    'tar-stream': /^layers\/tar\.ts$/,
    // Read in one place, written in another.
    yaml: /^src\/(config\/|route\/read-table\.ts$|cli\/commands\/deploy\.ts$)/,
    'web-tree-sitter': /^src\/predictor\//,
    openpgp: /^src\/debian\//,
    commander: /^src\/cli\//,
  }
  const wrong: string[] = []
  for (const file of files) {
    const path = relative(ROOT, file)
    for (const [name, door] of Object.entries(doors)) {
      if (readFileSync(file, 'utf8').includes(` from '${name}'`) && !door.test(path)) wrong.push(`${path}: ${name}`)
    }
  }
  expect(wrong).toEqual([])
})

test('every export says what it is', () => {
  const silent = [...files, ...list(join(ROOT, 'packages'))]
    .filter((file) => !/\/(assembly|node_modules|dist)\//.test(file))
    .flatMap((file) =>
      undocumentedExports(readFileSync(file, 'utf8')).map((line) => `${relative(ROOT, file)}: ${line}`),
    )
  expect(silent).toEqual([])
})

test('undocumentedExports() finds an export without a comment above it', () => {
  const text =
    '/** Says. */\nexport const a = 1\n\n// says not\nexport async function b() {}\n/** of c */\nconst c = 1\nexport class D {}\n'
  expect(undocumentedExports(text)).toEqual(['export async function b() {}', 'export class D {}'])
})

function placeOf(file: string): { readonly line: number; readonly folder: string } {
  const path = relative(ROOT, file)
  for (const [line, folders] of LINES.entries()) {
    const folder = folders.find((name) => path === name || path === `${name}.ts` || path.startsWith(`${name}/`))
    if (folder !== undefined) return { line, folder }
  }
  return { line: -1, folder: path }
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(IMPORT)].map(([, target]) => normalize(join(dirname(file), target ?? '')))
}

/** A circle of every knot of imports, members in alphabetical order: depth first, a file met on its own way closes one. */
function circlesOf(imports: ReadonlyMap<string, readonly string[]>): readonly (readonly string[])[] {
  const circles = new Map<string, readonly string[]>()
  const done = new Set<string>()
  const way: string[] = []
  const visit = (file: string): void => {
    const at = way.indexOf(file)
    if (at >= 0) {
      const circle = way.slice(at).toSorted()
      circles.set(circle.join(' '), circle)
      return
    }
    if (done.has(file)) return
    way.push(file)
    for (const target of imports.get(file) ?? []) visit(target)
    way.pop()
    done.add(file)
  }
  for (const file of imports.keys()) visit(file)
  return [...circles.values()]
}

/** The lines that export something, with no documentation comment that ends above them; a line of `//` may lie between. */
function undocumentedExports(text: string): string[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('//'))
  return lines.filter((line, index) => EXPORT.test(line) && lines[index - 1]?.endsWith('*/') !== true)
}

function list(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    if (name === 'node_modules' || name === 'dist') return []
    if (statSync(path).isDirectory()) return list(path)
    return name.endsWith('.ts') ? [path] : []
  })
}
