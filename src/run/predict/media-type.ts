/** Extensions and media types of what models take and give; the first extension of a type is the one written. */
const TYPES: readonly (readonly [extension: string, mediaType: string])[] = [
  ['png', 'image/png'],
  ['jpg', 'image/jpeg'],
  ['jpeg', 'image/jpeg'],
  ['gif', 'image/gif'],
  ['webp', 'image/webp'],
  ['avif', 'image/avif'],
  ['heic', 'image/heic'],
  ['bmp', 'image/bmp'],
  ['tiff', 'image/tiff'],
  ['tif', 'image/tiff'],
  ['svg', 'image/svg+xml'],
  ['mp3', 'audio/mpeg'],
  ['wav', 'audio/wav'],
  ['wav', 'audio/x-wav'],
  ['flac', 'audio/flac'],
  ['ogg', 'audio/ogg'],
  ['m4a', 'audio/mp4'],
  ['aac', 'audio/aac'],
  ['mp4', 'video/mp4'],
  ['webm', 'video/webm'],
  ['mov', 'video/quicktime'],
  ['avi', 'video/x-msvideo'],
  ['mkv', 'video/x-matroska'],
  ['txt', 'text/plain'],
  ['csv', 'text/csv'],
  ['html', 'text/html'],
  ['md', 'text/markdown'],
  ['json', 'application/json'],
  ['xml', 'application/xml'],
  ['yaml', 'application/yaml'],
  ['pdf', 'application/pdf'],
  ['zip', 'application/zip'],
  ['gz', 'application/gzip'],
  ['bz2', 'application/x-bzip2'],
  ['xz', 'application/x-xz'],
  ['zst', 'application/zstd'],
  ['tar', 'application/x-tar'],
  ['parquet', 'application/vnd.apache.parquet'],
  ['npy', 'application/x-npy'],
  ['glb', 'model/gltf-binary'],
  ['obj', 'model/obj'],
  ['bin', 'application/octet-stream'],
]

/** The media type of a file by its name. */
export function mediaTypeOf(name: string): string {
  const extension = /\.([^./\\]+)$/.exec(name)?.[1]?.toLowerCase()
  return TYPES.find(([known]) => known === extension)?.[1] ?? 'application/octet-stream'
}

/** The extension, without its dot, for a media type; parameters do not count. */
export function extensionOf(mediaType: string): string {
  const essence = mediaType.split(';', 1)[0]?.trim().toLowerCase()
  return TYPES.find(([, known]) => known === essence)?.[0] ?? 'bin'
}
