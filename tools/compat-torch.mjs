// Prints the rows that src/compat/tables/torch.json lacks, read from the torch index; the new rows go in by hand, one a line.
//
//   node tools/compat-torch.mjs [INDEX]
//
// INDEX holds one simple index for each build: INDEX/cu128/torch/, INDEX/cpu/torch/, ...
import { readFileSync } from 'node:fs'

const defaults = JSON.parse(readFileSync(new URL('../src/core/defaults.json', import.meta.url), 'utf8'))
const known = JSON.parse(readFileSync(new URL('../src/compat/tables/torch.json', import.meta.url), 'utf8'))
const index = new URL(process.argv[2] ?? defaults.torchIndex)
const isKnown = ({ torch, index }) => known.some((row) => row.torch === torch && row.index === index)

const builds = (await links(index))
  .map(({ text }) => text.replace(/\/$/, ''))
  .filter((name) => /^(cpu|cu\d{3})$/.test(name))
for (const build of builds.sort()) {
  const base = new URL(`${build}/`, index)
  const wheels = (await links(new URL('torch/', base))).flatMap(parseWheel)
  const versions = [...new Set(wheels.map((wheel) => wheel.version))].filter(
    (torch) => !isKnown({ torch, index: build }),
  )
  if (versions.length === 0) continue
  const [torchvision, torchaudio] = await Promise.all([partners(base, 'torchvision'), partners(base, 'torchaudio')])
  for (const torch of versions.sort(compare)) {
    const pythons = [...new Set(wheels.filter(({ version }) => version === torch).map(({ python }) => python))].sort(
      compare,
    )
    const digits = /^cu(\d+)(\d)$/.exec(build)
    const row = {
      torch,
      cuda: digits === null ? null : `${digits[1]}.${digits[2]}`,
      index: build,
      torchvision: torchvision.get(torch) ?? '',
      torchaudio: torchaudio.get(torch) ?? '',
      pythons,
    }
    console.log(JSON.stringify(row).replaceAll('":', '": ').replaceAll(',"', ', "').replaceAll('", "3', '", "3'))
  }
}

/** The links of an index page. */
async function links(url) {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`HTTP ${response.status} from ${url}`)
  const html = await response.text()
  return [...html.matchAll(/<a\s[^>]*href="([^"]+)"[^>]*>([^<]*)<\/a>/g)].map(([, href, text]) => ({
    url: new URL(href.replace(/#.*/, ''), url),
    text: text.trim(),
  }))
}

/** Version and Python of a Linux wheel; nothing for other files. */
function parseWheel({ text, url }) {
  const name = decodeURIComponent(text === '' ? url.pathname : text)
  const match = /^\w+-(\d+(?:\.\d+)+)(?:\+\w+)?-cp(\d)(\d+)-cp\d+-(?:many)?linux\w*_x86_64\.whl$/.exec(name)
  return match === null ? [] : [{ version: match[1], python: `${match[2]}.${match[3]}`, url }]
}

/** For each torch version the version of a package that asks for it, told by the package's own metadata. */
async function partners(base, name) {
  const wheels = (await links(new URL(`${name}/`, base)).catch(() => [])).flatMap(parseWheel)
  const byVersion = new Map(wheels.map((wheel) => [wheel.version, wheel]))
  const found = new Map()
  for (const [version, { url }] of byVersion) {
    const response = await fetch(`${url}.metadata`)
    const torch = response.ok ? /^Requires-Dist: torch\s*\(?==\s*([\d.]+)/m.exec(await response.text())?.[1] : undefined
    if (torch !== undefined) found.set(torch, version)
  }
  return found
}

function compare(a, b) {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number))
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    if ((left[i] ?? 0) !== (right[i] ?? 0)) return (left[i] ?? 0) - (right[i] ?? 0)
  }
  return 0
}
