// Puts the command's modules into few files, `dist/bundle`: on Node 20, which keeps no compiled code, finding and reading
// hundreds of small files is a good part of a short run. What lies beside a module (grammars, keys, workers) stays there.
// Part of `npm run build`; see docs/decisions/0012-one-bundle-for-the-command.md
import { readFileSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { rolldown } from 'rolldown'

const dist = path.join(import.meta.dirname, '..', 'dist')
const folder = path.join(dist, 'bundle')

/** A module that asks where it lies is told where it lay before. */
const places = {
  name: 'places',
  transform(code, id) {
    if (!id.startsWith(dist) || !code.includes('import.meta.url')) return null
    const place = path.relative(folder, id).split(path.sep).join('/')
    return code.replaceAll('import.meta.url', `new URL(${JSON.stringify(place)}, import.meta.url).href`)
  },
}

/** Modules that are loaded together lie in one file and not in sixty: of every run, of a build that looks, of one that makes. */
const always = closureOf(['src/cli/main.js'])
const looking = closureOf(['src/cli/run-build.js', 'src/cli/commands/build.js'])
const building = closureOf([
  'src/cli/world.js',
  'src/cli/shared-cache.js',
  'src/resolve/platform.js',
  'src/build.js',
  'layers/kinds/files.js',
])

/** What modules of ours import, and these in turn; what is imported when it is needed is left where it is. */
function closureOf(names) {
  const found = new Set()
  const waiting = names.map((name) => path.join(dist, name))
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (found.has(file)) continue
    found.add(file)
    if (!file.endsWith('.js')) continue
    for (const [, name] of readFileSync(file, 'utf8').matchAll(/^(?:import|export) [^'"(;=]*?from '(\.[^']+)'/gm))
      waiting.push(path.join(path.dirname(file), name))
  }
  return found
}

await rm(folder, { recursive: true, force: true })
const bundle = await rolldown({
  input: { main: path.join(dist, 'src/cli/main.js') },
  platform: 'node',
  preserveEntrySignatures: 'allow-extension',
  plugins: [places],
  external: [/^node:/, 'web-tree-sitter'],
  onLog: (level, log, handle) => {
    // fzstd, bundled for browsers too, asks for a worker by eval, which we never call. Where an import on demand gains nothing
    // is decided by the groups below.
    if (log.code !== 'EVAL' && log.code !== 'INEFFECTIVE_DYNAMIC_IMPORT') handle(level, log)
  },
})
await bundle.write({
  dir: folder,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
  codeSplitting: {
    includeDependenciesRecursively: false,
    groups: [
      {
        name: 'always',
        test: (id) => always.has(id) || /node_modules\/(?:commander|picocolors)\//.test(id),
        priority: 3,
      },
      {
        name: 'looking',
        test: (id) => looking.has(id) || /node_modules\/(?:p-limit|yocto-queue)\//.test(id),
        priority: 2,
      },
      { name: 'building', test: (id) => building.has(id), priority: 1 },
    ],
  },
  // Comments and blanks take time to read, too. Names stay: they stand in errors.
  minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
})
await bundle.close()
if (!(await readdir(folder)).includes('main.js')) throw new Error('The bundle has no entry')
