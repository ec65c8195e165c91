import { createHash } from 'node:crypto'
import { makeZip, type ZipEnd, type ZipMember } from './zip.ts'

/** What a test's wheel is made of; sound unless told otherwise. */
export interface WheelInput {
  readonly name?: string
  readonly version?: string
  /** `py3-none-any` unless given. */
  readonly tag?: string
  /** Besides the metadata folder. */
  readonly files?: readonly ZipMember[]
  /** Files of the metadata folder, instead of or besides the usual ones; `undefined` leaves one out. */
  readonly metadata?: Readonly<Record<string, string | undefined>>
  /** Changes the rows of RECORD, one line each. */
  readonly record?: (rows: string[]) => string[]
  readonly requires?: readonly string[]
  readonly end?: ZipEnd
}

/** A wheel in memory, and the file name it must have. */
export interface MadeWheel {
  readonly filename: string
  readonly bytes: Buffer
  readonly sha256: string
}

/** Makes a wheel. */
export function makeWheel(input: WheelInput = {}): MadeWheel {
  const { name = 'demo', version = '1.0', tag = 'py3-none-any', files = [] } = input
  const info = `${name}-${version}.dist-info`
  const texts: Record<string, string | undefined> = {
    METADATA: [
      'Metadata-Version: 2.1',
      `Name: ${name}`,
      `Version: ${version}`,
      ...(input.requires ?? []).map((text) => `Requires-Dist: ${text}`),
      '',
    ].join('\n'),
    WHEEL: `Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: ${tag}\n`,
    ...input.metadata,
  }
  const members: ZipMember[] = [
    ...files,
    ...Object.entries(texts).flatMap(([file, content]) =>
      content === undefined || file === 'RECORD' ? [] : [{ name: `${info}/${file}`, content }],
    ),
  ]
  const rows = members.filter((member) => !member.name.endsWith('/')).map(recordRow)
  rows.push(`${info}/RECORD,,`)
  const record = texts['RECORD'] ?? `${(input.record?.(rows) ?? rows).join('\n')}\n`
  if (!('RECORD' in texts) || texts['RECORD'] !== undefined) members.push({ name: `${info}/RECORD`, content: record })
  const bytes = makeZip(members, input.end)
  return {
    filename: `${name}-${version}-${tag}.whl`,
    bytes,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  }
}

/** The row of a member in a RECORD. */
export function recordRow({ name, content = '' }: ZipMember): string {
  const bytes = Buffer.from(content)
  const hash = createHash('sha256').update(bytes).digest('base64url')
  return `${/[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name},sha256=${hash},${bytes.length}`
}
