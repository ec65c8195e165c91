#!/usr/bin/env node
import { statSync } from 'node:fs'
import module from 'node:module'

// Node 22 and newer keep compiled code between runs; Node 20 has no such cache.
module.enableCompileCache?.()
const { main } = await import(isBundleCurrent() ? '../dist/bundle/main.js' : '../dist/src/cli/main.js')
await main(process.argv.slice(2))

/** In a checkout the modules may have been compiled since they were bundled. */
function isBundleCurrent() {
  const madeAt = (path) => statSync(new URL(path, import.meta.url), { throwIfNoEntry: false })?.mtimeMs
  const bundle = madeAt('../dist/bundle/main.js')
  return bundle !== undefined && bundle >= (madeAt('../dist/.tsbuildinfo') ?? 0)
}
