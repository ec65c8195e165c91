import { readFile } from 'node:fs/promises'
import { BuildError } from '../core/errors.ts'
import { parseRouteTable } from '../route/read-table.ts'
import { routeTableSchema, type RouteTable } from '../route/table.ts'

/** The options of `route` that make a table. */
export interface RouteFlags {
  readonly split: readonly string[]
  readonly stickyHeader?: string
  readonly stickyCookie?: string
  readonly mirror?: string
}

const HINT = 'Write each version as NAME=URL@WEIGHT, such as --split stable=http://127.0.0.1:5001@90.'

/** Reads the file of a table. @throws BuildError USAGE when there are flags as well; FILE_UNREADABLE; CONFIG_INVALID */
export async function readRoutes(path: string, name: string, flags?: RouteFlags): Promise<RouteTable> {
  const given = flags === undefined ? [] : [...flags.split, flags.stickyHeader, flags.stickyCookie, flags.mirror]
  if (given.some((flag) => flag !== undefined))
    throw new BuildError('USAGE', 'Routes come from a file or from options, not from both', {
      hint: 'Write `versions`, `sticky` and `mirror` into the file.',
    })
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new BuildError('FILE_UNREADABLE', `Cannot read \`${name}\``, { cause: error })
  }
  return parseRouteTable(text, name)
}

/** Makes a table of options. @throws BuildError USAGE with every problem */
export function tableOfFlags({ split, stickyHeader, stickyCookie, mirror }: RouteFlags): RouteTable {
  if (split.length === 0)
    throw new BuildError('USAGE', 'There are no versions to route to', { hint: `${HINT} Or name a file.` })
  if (stickyHeader !== undefined && stickyCookie !== undefined)
    throw new BuildError('USAGE', 'Give either --sticky-header or --sticky-cookie')
  const versions = new Map<string, { readonly url: string; readonly weight: number }>()
  for (const text of split) {
    const { name, ...version } = parseVersion(text)
    if (versions.has(name)) throw new BuildError('USAGE', `--split names a version twice: \`${name}\``, { hint: HINT })
    versions.set(name, version)
  }
  const result = routeTableSchema.safeParse({
    versions: Object.fromEntries(versions),
    ...(stickyHeader === undefined ? {} : { sticky: { header: stickyHeader } }),
    ...(stickyCookie === undefined ? {} : { sticky: { cookie: stickyCookie } }),
    ...(mirror === undefined ? {} : { mirror: parseMirror(mirror) }),
  })
  if (result.success) return result.data
  const problems = result.error.issues.map((issue) => {
    const inner = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message
    return `${inner}: \`${issue.path.join('.')}\``
  })
  throw new BuildError('USAGE', problems.join('; '), { hint: HINT })
}

function parseVersion(text: string): { readonly name: string; readonly url: string; readonly weight: number } {
  const [, name = '', url = '', weight = ''] = /^([^=]+)=(.+)@(\d+(?:\.\d+)?)$/.exec(text) ?? []
  if (name === '')
    throw new BuildError('USAGE', `Not a version with its address and weight: \`${text}\``, { hint: HINT })
  return { name, url, weight: Number(weight) }
}

function parseMirror(text: string): { readonly to: string; readonly percent: number } {
  const [, to = '', percent = ''] = /^([^=]+)=(\d+(?:\.\d+)?)%?$/.exec(text) ?? []
  if (to === '')
    throw new BuildError('USAGE', `Not a version with a share: \`${text}\``, { hint: 'Such as --mirror canary=10.' })
  return { to, percent: Number(percent) }
}
