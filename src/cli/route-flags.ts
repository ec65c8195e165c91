import { BuildError } from '../core/errors.ts'
import { parseRouteTable } from '../route/read-table.ts'
import { routeTableSchema, type RouteTable } from '../route/table.ts'
import { parseDuration } from './quantity.ts'
import { readNamedFile } from './read-named-file.ts'

/** The options of `route` that make a table. */
export interface RouteFlags {
  readonly split: readonly string[]
  readonly stickyHeader?: string
  readonly stickyCookie?: string
  readonly mirror?: string
  readonly healthPath?: string
  readonly healthInterval?: string
  readonly healthTimeout?: string
}

const HINT =
  'Write each version as NAME=URL@WEIGHT, such as --split stable=http://127.0.0.1:5001@90, several servers of one with commas between.'

/**
 * Reads the file of a table.
 *
 * @param path  relative to `folder`
 * @throws BuildError USAGE when there are flags as well; FILE_UNREADABLE; CONFIG_INVALID
 */
export async function readRoutes(path: string, folder: string, flags?: RouteFlags): Promise<RouteTable> {
  if (flags !== undefined && isAnyGiven(flags))
    throw new BuildError('USAGE', 'Routes come from a file or from options, not from both', {
      hint: 'Write `versions`, `sticky`, `mirror` and `health` into the file.',
    })
  return parseRouteTable(String(await readNamedFile(path, folder)), path)
}

function isAnyGiven(flags: RouteFlags): boolean {
  const { split, stickyHeader, stickyCookie, mirror, healthPath, healthInterval, healthTimeout } = flags
  return [...split, stickyHeader, stickyCookie, mirror, healthPath, healthInterval, healthTimeout].some(
    (flag) => flag !== undefined,
  )
}

/** Makes a table of options. @throws BuildError USAGE with every problem */
export function tableOfFlags(flags: RouteFlags): RouteTable {
  const { split, stickyHeader, stickyCookie, mirror } = flags
  if (split.length === 0)
    throw new BuildError('USAGE', 'There are no versions to route to', { hint: `${HINT} Or name a file.` })
  if (stickyHeader !== undefined && stickyCookie !== undefined)
    throw new BuildError('USAGE', 'Give either --sticky-header or --sticky-cookie')
  const versions = new Map<string, { readonly urls: readonly string[]; readonly weight: number }>()
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
    health: healthOf(flags),
  })
  if (result.success) return result.data
  const problems = result.error.issues.map((issue) => {
    const inner = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message
    return `${inner}: \`${issue.path.join('.')}\``
  })
  throw new BuildError('USAGE', problems.join('; '), { hint: HINT })
}

/** What is undefined is as the schema has it. */
function healthOf({ healthPath: path, healthInterval: interval, healthTimeout: timeout }: RouteFlags): object {
  return {
    path,
    interval_seconds: interval === undefined ? undefined : parseDuration(interval) / 1000,
    timeout_seconds: timeout === undefined ? undefined : parseDuration(timeout) / 1000,
  }
}

function parseVersion(text: string): {
  readonly name: string
  readonly urls: readonly string[]
  readonly weight: number
} {
  const [, name = '', urls = '', weight = ''] = /^([^=]+)=(.+)@(\d+(?:\.\d+)?)$/.exec(text) ?? []
  if (name === '')
    throw new BuildError('USAGE', `Not a version with its address and weight: \`${text}\``, { hint: HINT })
  return { name, urls: urls.split(','), weight: Number(weight) }
}

function parseMirror(text: string): { readonly to: string; readonly percent: number } {
  const [, to = '', percent = ''] = /^([^=]+)=(\d+(?:\.\d+)?)%?$/.exec(text) ?? []
  if (to === '')
    throw new BuildError('USAGE', `Not a version with a share: \`${text}\``, { hint: 'Such as --mirror canary=10.' })
  return { to, percent: Number(percent) }
}
