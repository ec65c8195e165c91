import { digestHex, type Digest } from 'oci-spec-types'

/** One time that a tag was given to an image. The record of it is a tag of its own, which names the image and says the rest. */
export interface Release {
  /** The tag that was moved, such as `stable`. */
  readonly tag: string
  /** Its place on the way back, 1 for the first one ever; `rollback --to` takes it. */
  readonly number: number
  /** When, in seconds since the epoch. Later than every release that its maker saw, whatever the clocks said. */
  readonly seconds: number
  /** How the hex digits of the image's digest begin. */
  readonly prefix: string
  /** The tag that keeps it: `stable.20261126T173000Z.2.1a2b3c4d5e6f`. */
  readonly record: string
}

const RECORD = /^(.+)\.(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z\.([1-9]\d{0,5})\.([0-9a-f]{12})$/
const PREFIX_LENGTH = 12
/** What a record adds to the tag; a tag has 128 characters at most. */
const RECORD_EXTRA = '.20261126T173000Z.100000.1a2b3c4d5e6f'.length

/** The longest tag that releases are kept of. */
export const LONGEST_RELEASED_TAG = 128 - RECORD_EXTRA

/** Reads the tag that keeps a release; undefined for any other tag. */
export function parseRecord(record: string): Release | undefined {
  const [, tag = '', year, month, day, hour, minute, second, number, prefix = ''] = RECORD.exec(record) ?? []
  if (tag === '') return undefined
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  return Number.isNaN(ms) ? undefined : { tag, number: Number(number), seconds: ms / 1000, prefix, record }
}

/** A release with the tag that keeps it. */
export function makeRelease(tag: string, number: number, seconds: number, digest: Digest): Release {
  const time = formatSeconds(seconds).replaceAll(/[-:]/g, '')
  const prefix = prefixOf(digest)
  return { tag, number, seconds, prefix, record: `${tag}.${time}.${number}.${prefix}` }
}

/** What a record says of the image's digest. */
export function prefixOf(digest: Digest): string {
  return digestHex(digest).slice(0, PREFIX_LENGTH)
}

/** `2026-11-26T17:30:00Z`. */
export function formatSeconds(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`
}
