import { BuildError } from '../core/errors.ts'

const BYTES: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
}
const MILLISECONDS: Readonly<Record<string, number>> = {
  s: 1e3,
  m: 60e3,
  h: 3600e3,
  d: 24 * 3600e3,
  w: 7 * 24 * 3600e3,
}

/** Reads a port; 0 stands for a free one. @throws BuildError USAGE */
export function parsePort(text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port > 65_535) throw new BuildError('USAGE', `Not a port: \`${text}\``)
  return port
}

/** Reads a size: `20GB`, `1.5GiB`, `500M`, `4096`. In bytes. @throws BuildError USAGE */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]i?|)b?$/i.exec(text.trim())
  const factor = BYTES[match?.[2]?.toLowerCase() ?? '?']
  if (factor === undefined)
    throw new BuildError('USAGE', `Not a size: \`${text}\``, { hint: 'Such as 20GB, 512MiB or a number of bytes.' })
  return Math.round(Number(match?.[1]) * factor)
}

/** Reads a length of time: `30d`, `12h`, `90m`. In milliseconds. @throws BuildError USAGE */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([smhdw])$/i.exec(text.trim())
  const factor = MILLISECONDS[match?.[2]?.toLowerCase() ?? '?']
  if (factor === undefined)
    throw new BuildError('USAGE', `Not a length of time: \`${text}\``, { hint: 'Such as 30d, 12h or 90m.' })
  return Math.round(Number(match?.[1]) * factor)
}
