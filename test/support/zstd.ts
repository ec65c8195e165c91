import { createRequire } from 'node:module'

interface Zstd {
  readonly isLoaded: Promise<void>
  compress(bytes: Uint8Array, level: number): Uint8Array
}

/** zstd's encoder, once it is there. */
export async function loadZstd(): Promise<Zstd> {
  const zstd = createRequire(import.meta.url)('@foxglove/wasm-zstd') as Zstd
  await zstd.isLoaded
  return zstd
}
