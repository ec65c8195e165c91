// Compiles the WebAssembly parts beside the compiled modules that load them.
import { mkdirSync } from 'node:fs'
import { main } from 'assemblyscript/asc'

const source = 'layers/inflate/assembly/inflate.ts'
const folder = 'dist/layers/inflate'
const options = ['--runtime', 'stub', '-O3', '--noAssert', '--enable', 'simd,bulk-memory']
// Tables lie below, buffers above: the compiler's own data fits between.
const memory = ['--memoryBase', '57344', '--initialMemory', '16', '--maximumMemory', '16']

mkdirSync(folder, { recursive: true })
const target = ['--outFile', `${folder}/inflate.wasm`]
const { error } = await main([source, ...target, ...options, ...memory], { stderr: process.stderr })
if (error !== null) process.exitCode = 1
