#!/usr/bin/env node
import module from 'node:module'

// Node 22 and newer keep compiled code between runs; Node 20 has no such cache.
module.enableCompileCache?.()
const { main } = await import('../dist/src/cli/main.js')
await main(process.argv.slice(2))
