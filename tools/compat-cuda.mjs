// Prints the rows that src/compat/tables/cuda-images.json lacks, from the tags of nvidia/cuda on standard input.
//
//   layerwright tags docker.io/nvidia/cuda | node tools/compat-cuda.mjs
//
// A version counts when there is a base, a cuDNN runtime and a cuDNN devel image of it on an Ubuntu release.
import { readFileSync } from 'node:fs'

const table = new URL('../src/compat/tables/cuda-images.json', import.meta.url)
const known = new Map(JSON.parse(readFileSync(table, 'utf8')).map((row) => [row.cuda, row]))
const TAG = /^(\d+\.\d+\.\d+)-(?:(cudnn\d*)-)?(base|runtime|devel)-ubuntu(\d+\.\d+)$/
const found = new Map()
for (const tag of readFileSync(0, 'utf8').split('\n')) {
  const [, cuda, cudnnTag, flavour, ubuntu] = TAG.exec(tag.trim()) ?? []
  if (cuda === undefined) continue
  const key = `${cuda} ${ubuntu}`
  const images = found.get(key) ?? { cuda, ubuntu, cudnnTag: undefined, flavours: new Set() }
  images.cudnnTag ??= cudnnTag
  images.flavours.add(cudnnTag === undefined ? flavour : `cudnn-${flavour}`)
  found.set(key, images)
}
const rows = new Map()
for (const { cuda, ubuntu, cudnnTag, flavours } of found.values()) {
  if (!['base', 'runtime', 'cudnn-runtime', 'cudnn-devel'].every((flavour) => flavours.has(flavour))) continue
  // Since 12.4.1 the tag has no number, and it has been cuDNN 9 since.
  const row = rows.get(cuda) ?? { cuda, cudnn: /\d+$/.exec(cudnnTag)?.[0] ?? '9', cudnnTag, ubuntu: [] }
  row.ubuntu.push(ubuntu)
  rows.set(cuda, row)
}
const compare = (a, b) => a.localeCompare(b, 'en', { numeric: true })
for (const row of [...rows.values()].sort((a, b) => compare(a.cuda, b.cuda))) {
  row.ubuntu.sort(compare)
  if (JSON.stringify(known.get(row.cuda)?.ubuntu) === JSON.stringify(row.ubuntu)) continue
  console.log(JSON.stringify(row).replaceAll('":', '": ').replaceAll(',"', ', "'))
}
