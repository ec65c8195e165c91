import type { Transform } from 'node:stream'
import { OCI } from 'oci-spec-types'
import { DEFLATE_NAME, openQuickGzip } from './deflate/quick-gzip.ts'
import { storedGzip } from './gzip-members.ts'
import { Outbox } from './outbox.ts'
import { openZstd, ZSTD_NAME } from './zstd.ts'

/** How a layer's tar is compressed. */
export type Compression = 'gzip' | 'zstd' | 'none'

/** What a single layer may choose besides: a gzip frame around bytes that are not worth compressing. */
export type Framing = Compression | 'stored'

/** The layer media type of a framing. */
export function layerMediaType(framing: Framing): string {
  return { gzip: OCI.layerGzip, stored: OCI.layerGzip, zstd: OCI.layerZstd, none: OCI.layer }[framing]
}

/** What a compression is called in a layer's key: equal names, equal bytes. */
export function compressorName(compression: Compression): string {
  return { gzip: DEFLATE_NAME, zstd: ZSTD_NAME, none: 'none' }[compression]
}

/** Compresses a stream. Bytes depend on the content alone: not on the machine, the Node or how the stream is cut. */
export function compress(stream: AsyncIterable<Uint8Array>, framing: Framing): AsyncIterable<Uint8Array> {
  switch (framing) {
    case 'none':
      return stream
    case 'gzip':
      return gzip(stream)
    case 'stored':
      return storedGzip(stream)
    case 'zstd':
      return zstd(stream)
  }
}

async function* gzip(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const writer = openQuickGzip()
  for await (const chunk of stream) {
    writer.write(chunk)
    const made = writer.take()
    if (made.length > 0) yield made
  }
  writer.end()
  yield writer.take()
}

async function* zstd(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const made = new Outbox()
  const writer = await openZstd(made)
  try {
    for await (const chunk of stream) {
      writer.write(chunk)
      yield* made.take()
    }
    writer.end()
    yield* made.take()
  } finally {
    writer.close()
  }
}

/** Passes a stream through a transform, with back-pressure and with the errors of both. */
export async function* through(stream: AsyncIterable<Uint8Array>, transform: Transform): AsyncGenerator<Uint8Array> {
  const feeding = feed(stream, transform)
  // Its failure is seen below, when the transform is destroyed with it.
  feeding.catch(() => {})
  try {
    yield* transform as AsyncIterable<Uint8Array>
    await feeding
  } finally {
    transform.destroy()
  }
}

async function feed(stream: AsyncIterable<Uint8Array>, transform: Transform): Promise<void> {
  try {
    for await (const chunk of stream) {
      if (transform.destroyed) return
      if (!transform.write(chunk)) await roomIn(transform)
    }
    transform.end()
  } catch (error) {
    transform.destroy(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}

/** Waits until a transform takes more, or is gone. */
function roomIn(transform: Transform): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      transform.off('drain', done).off('close', done)
      resolve()
    }
    transform.on('drain', done).on('close', done)
  })
}
