import { crc32 } from 'node:zlib'
import { deflateRawSync } from 'node:zlib'

/** What a test wheel says of itself. */
export interface WheelSpec {
  readonly name: string
  readonly version: string
  readonly tag?: string
  readonly requires?: readonly string[]
  readonly extras?: Readonly<Record<string, readonly string[]>>
  readonly requiresPython?: string
  /** Replaces METADATA. */
  readonly metadata?: string
  /** Bytes of a file before the metadata, to push it out of the archive's tail. */
  readonly paddingBytes?: number
}

/** The METADATA of a test wheel. */
export function makeMetadata(spec: WheelSpec): string {
  const extras = Object.entries(spec.extras ?? {})
  return [
    'Metadata-Version: 2.1',
    `Name: ${spec.name}`,
    `Version: ${spec.version}`,
    ...(spec.requiresPython === undefined ? [] : [`Requires-Python: ${spec.requiresPython}`]),
    ...(spec.requires ?? []).map((requirement) => `Requires-Dist: ${requirement}`),
    ...extras.flatMap(([extra, requirements]) => [
      `Provides-Extra: ${extra}`,
      ...requirements.map((requirement) => `Requires-Dist: ${withExtra(requirement, extra)}`),
    ]),
    '',
    '',
  ].join('\n')
}

/** The file name of a test wheel. */
export function wheelFilename({ name, version, tag = 'py3-none-any' }: WheelSpec): string {
  return `${name.replaceAll('-', '_')}-${version}-${tag}.whl`
}

/** A small, valid wheel; the same bytes for the same words. */
export function makeWheel(spec: WheelSpec): Buffer {
  const folder = `${spec.name.replaceAll('-', '_')}-${spec.version}.dist-info`
  const padding = Buffer.alloc(spec.paddingBytes ?? 0, 7)
  const members: readonly (readonly [string, Buffer, boolean])[] = [
    ...(padding.length === 0
      ? []
      : [[`${folder}/METADATA`, Buffer.from(spec.metadata ?? makeMetadata(spec)), true] as const]),
    ...(padding.length === 0 ? [] : [['padding.bin', padding, false] as const]),
    ['module.py', Buffer.from('x = 1\n'), true],
    ...(padding.length === 0
      ? [[`${folder}/METADATA`, Buffer.from(spec.metadata ?? makeMetadata(spec)), true] as const]
      : []),
    [`${folder}/WHEEL`, Buffer.from('Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n'), true],
    [`${folder}/RECORD`, Buffer.from(`${folder}/RECORD,,\n`), false],
  ]
  return zip(members)
}

function withExtra(requirement: string, extra: string): string {
  const [head = '', marker] = requirement.split(';')
  return marker === undefined ? `${head}; extra == '${extra}'` : `${head}; (${marker}) and extra == '${extra}'`
}

function zip(members: readonly (readonly [string, Buffer, boolean])[]): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [name, content, isDeflated] of members) {
    const data = isDeflated ? deflateRawSync(content) : content
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt16LE(isDeflated ? 8 : 0, 4)
    common.writeUInt16LE(33, 8)
    common.writeUInt32LE(crc32(content), 10)
    common.writeUInt32LE(data.length, 14)
    common.writeUInt32LE(content.length, 18)
    common.writeUInt16LE(Buffer.byteLength(name), 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), data])
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE((0o100644 << 16) >>> 0, 6)
    tail.writeUInt32LE(offset, 10)
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x03'), common, tail, Buffer.from(name)]))
    parts.push(local)
    offset += local.length
  }
  const central = Buffer.concat(directory)
  const end = Buffer.alloc(18)
  end.writeUInt16LE(members.length, 4)
  end.writeUInt16LE(members.length, 6)
  end.writeUInt32LE(central.length, 8)
  end.writeUInt32LE(offset, 12)
  return Buffer.concat([...parts, central, Buffer.from('PK\x05\x06'), end])
}
