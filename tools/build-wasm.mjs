// Compiles the WebAssembly parts beside the compiled modules that load them.
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { main } from 'assemblyscript/asc'

/** Pages of 64 KiB; the compiler's own data lies from `base` on, where the part has left room for it. */
const PARTS = [
  { source: 'layers/inflate/assembly/inflate.ts', target: 'layers/inflate/inflate.wasm', base: 57344, pages: 16 },
  { source: 'layers/deflate/assembly/deflate.ts', target: 'layers/deflate/deflate.wasm', base: 1024, pages: 14 },
  // A window of 256 MiB at most, and a quarter of that behind it.
  { source: 'src/debian/xz/assembly/xz.ts', target: 'src/debian/xz/xz.wasm', base: 28672, pages: 4, most: 5200 },
]
const OPTIONS = ['--runtime', 'stub', '-O3', '--noAssert', '--enable', 'simd,bulk-memory']

for (const { source, target, base, pages, most = pages } of PARTS) {
  const file = `dist/${target}`
  mkdirSync(dirname(file), { recursive: true })
  const memory = ['--memoryBase', `${base}`, '--initialMemory', `${pages}`, '--maximumMemory', `${most}`]
  const { error } = await main([source, '--outFile', file, ...OPTIONS, ...memory], { stderr: process.stderr })
  if (error !== null) process.exitCode = 1
}
