// Prints the rows that src/compat/tables/tensorflow.json lacks, read from the wheels of an index.
//
//   node tools/compat-tensorflow.mjs [INDEX]
//
// The extra `and-cuda` of a wheel names the CUDA and cuDNN wheels that it was built with (2.14 and newer).
import { readFileSync } from 'node:fs'

const defaults = JSON.parse(readFileSync(new URL('../src/core/defaults.json', import.meta.url), 'utf8'))
const table = new URL('../src/compat/tables/tensorflow.json', import.meta.url)
const known = new Set(JSON.parse(readFileSync(table, 'utf8')).map(({ tensorflow }) => tensorflow))
const index = new URL(process.argv[2] ?? defaults.pythonIndex)
const page = new URL('tensorflow/', index)
const response = await fetch(page, { headers: { accept: 'application/vnd.pypi.simple.v1+json' } })
if (!response.ok) throw new Error(`HTTP ${response.status} from ${page}`)
const { files } = await response.json()

const WHEEL = /^tensorflow-(\d+\.\d+\.\d+)-cp(\d)(\d+)-cp\d+-manylinux\w*_x86_64\.whl$/
const releases = new Map()
for (const { filename, url, yanked } of files) {
  const [, version, major, minor] = WHEEL.exec(filename) ?? []
  if (version === undefined || yanked || known.has(version)) continue
  const release = releases.get(version) ?? { pythons: new Set(), url: new URL(url, page) }
  release.pythons.add(`${major}.${minor}`)
  releases.set(version, release)
}
const compare = (a, b) => a.localeCompare(b, 'en', { numeric: true })
for (const [tensorflow, { pythons, url }] of [...releases].sort(([a], [b]) => compare(a, b))) {
  const metadata = await fetch(`${url.origin}${url.pathname}.metadata`)
  // Old files have no metadata of their own beside them, and no such extra.
  if (!metadata.ok) continue
  const text = await metadata.text()
  const versionOf = (name) =>
    new RegExp(`^Requires-Dist: nvidia-${name}-cu\\d+[^;]*?[>=]=(\\d+\\.\\d+)`, 'm').exec(text)?.[1]
  const [cuda, cudnn] = [versionOf('cuda-runtime'), versionOf('cudnn')]
  if (cuda === undefined || cudnn === undefined) continue
  const row = { tensorflow, cuda, cudnn, pythons: [...pythons].sort(compare) }
  console.log(JSON.stringify(row).replaceAll('":', '": ').replaceAll(',"', ', "'))
}
