// Writes src/bases/tables/interpreters.json anew from the list of relocatable CPython builds in uv's source distribution.
//
//   node tools/interpreters.mjs METADATA ORIGIN [TABLE]
//
// METADATA is crates/uv-python-managed/download-metadata.json (Apache-2.0 OR MIT), ORIGIN names the release, such as
// "uv 0.13.9". Rows that the list no longer has stay: what was locked once must be found again.
import { readFileSync, writeFileSync } from 'node:fs'

const table = new URL('../src/bases/tables/interpreters.json', import.meta.url)
const [metadata, origin, file = table] = process.argv.slice(2)
if (metadata === undefined || origin === undefined)
  throw new Error('Usage: node tools/interpreters.mjs METADATA ORIGIN')
const ARCHITECTURES = { x86_64: 'amd64', aarch64: 'arm64' }
const BUILD = /\/download\/(\d+\/cpython-[^/]+-install_only(?:_stripped)?\.tar\.gz)$/

const rows = new Map(JSON.parse(readFileSync(file, 'utf8')).rows.map((row) => [`${row.version} ${row.arch}`, row]))
for (const build of Object.values(JSON.parse(readFileSync(metadata, 'utf8')))) {
  const { name, os, libc, arch, major, minor, patch, prerelease, variant, url, sha256 } = build
  const architecture = ARCHITECTURES[arch.family]
  const path = BUILD.exec(url)?.[1]
  const isPlain = name === 'cpython' && os === 'linux' && libc === 'gnu' && !arch.variant && !variant && !prerelease
  if (!isPlain || architecture === undefined || path === undefined || !sha256) continue
  const version = `${major}.${minor}.${patch}`
  rows.set(`${version} ${architecture}`, { version, arch: architecture, path, sha256 })
}

const numbers = ({ version }) => version.split('.').map(Number)
const compare = (a, b) => {
  const [left, right] = [numbers(a), numbers(b)]
  const part = left.findIndex((number, index) => number !== right[index])
  return part === -1 ? a.arch.localeCompare(b.arch) : left[part] - right[part]
}
const lines = [...rows.values()].sort(compare).map((row) => {
  const members = Object.entries(row).map(([key, value]) => `"${key}": ${JSON.stringify(value)}`)
  return `    {${members.join(', ')}}`
})
const text = `python-build-standalone release files, as listed in astral-sh/uv (${origin}: download-metadata.json, Apache-2.0 OR MIT); install_only(_stripped), glibc`
writeFileSync(file, `{\n  "origin": ${JSON.stringify(text)},\n  "rows": [\n${lines.join(',\n')}\n  ]\n}\n`)
