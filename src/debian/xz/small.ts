import { XzDecoder } from './decoder.ts'

let decoder: XzDecoder | undefined

/**
 * Decompresses a few kilobytes of xz, such as a package's control archive, where it stands: handing them to a thread costs
 * more than the work.
 *
 * @throws RangeError when the data is not xz, is cut off, is damaged or unpacks to more than the limit
 */
export function decompressSmallXz(bytes: Uint8Array, limitBytes: number): Buffer {
  decoder ??= new XzDecoder()
  decoder.start()
  const parts: Uint8Array[] = []
  let sizeBytes = 0
  let at = 0
  for (let status = decoder.run(); status !== 'done'; status = decoder.run()) {
    if (status === 'output') {
      const part = Uint8Array.from(decoder.output())
      sizeBytes += part.length
      if (sizeBytes > limitBytes) throw new RangeError(`More than ${limitBytes} bytes when decompressed`)
      parts.push(part)
    } else if (at < bytes.length) at += decoder.write(bytes.subarray(at))
    else decoder.end()
  }
  return Buffer.concat(parts)
}
