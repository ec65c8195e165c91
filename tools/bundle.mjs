// Puts the command's modules into few files, `dist/bundle`: on Node 20, which keeps no compiled code, finding and reading
// hundreds of small files is a good part of a short run. What lies beside a module (grammars, keys, workers) stays there.
// Part of `npm run build`; see docs/decisions/0012-one-bundle-for-the-command.md
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

await rm(folder, { recursive: true, force: true })
const bundle = await rolldown({
  input: { main: path.join(dist, 'src/cli/main.js') },
  platform: 'node',
  plugins: [places],
  external: [/^node:/, 'web-tree-sitter'],
  onLog: (level, log, handle) => {
    // fzstd, bundled for browsers too, asks for a worker by eval, which we never call.
    if (log.code !== 'EVAL') handle(level, log)
  },
})
await bundle.write({
  dir: folder,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
  // Comments and blanks take time to read, too. Names stay: they stand in errors.
  minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
})
await bundle.close()
if (!(await readdir(folder)).includes('main.js')) throw new Error('The bundle has no entry')
