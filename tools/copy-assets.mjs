// Copies what `tsc` does not emit (tables, keys, grammars) beside the compiled modules that read them.
import { cpSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const ASSET = /\.(json|wasm|gpg|asc|txt|html|toml)$/

for (const top of ['src', 'layers', 'registry']) copyTree(top)

function copyTree(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) copyTree(path)
    else if (ASSET.test(name)) cpSync(path, join('dist', path))
  }
}
