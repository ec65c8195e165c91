import { createRequire } from 'node:module'

interface XzModule {
  readonly XzReadableStream: new (stream: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>
}

let loaded: XzModule | undefined

/**
 * Decompresses a few kilobytes of xz, such as a package's control archive, where it stands: handing them to a thread costs
 * more than the work.
 *
 * @throws RangeError when the data is not xz, is cut off, is damaged or unpacks to more than the limit
 */
export async function decompressSmallXz(bytes: Uint8Array, limitBytes: number): Promise<Uint8Array> {
  loaded ??= createRequire(import.meta.url)('xz-decompress') as XzModule
  const { XzReadableStream } = loaded
  const compressed = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(bytes)
      controller.close()
    },
  })
  const reader = new XzReadableStream(compressed).getReader()
  const parts: Uint8Array[] = []
  let sizeBytes = 0
  for (;;) {
    const next = await reader.read().catch((error: unknown) => {
      throw new RangeError(`Damaged xz data (${error instanceof Error ? error.message : String(error)})`, {
        cause: error,
      })
    })
    if (next.done) return Buffer.concat(parts)
    sizeBytes += next.value.length
    if (sizeBytes > limitBytes) {
      await reader.cancel()
      throw new RangeError(`More than ${limitBytes} bytes when decompressed`)
    }
    parts.push(next.value)
  }
}
