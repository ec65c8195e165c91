import type { CacheMount, StepMount } from './config.ts'

/** What is wrong with a flag, and what to try. */
export interface FlagProblem {
  readonly text: string
  readonly hint: string
}

const KNOWN = 'Known are `type=cache` and `type=tmpfs` with a target, and `type=secret` with an id.'

/** What a cache may say beside its type, target and id. */
const OF_CACHES = ['sharing', 'mode', 'uid', 'gid', 'ro', 'readonly', 'rw', 'readwrite']
const OF_ALL = ['type', 'target', 'dst', 'destination', 'id']

/**
 * Reads the value of one `--mount` flag.
 *
 * @see https://docs.docker.com/reference/dockerfile/#run---mount
 * @example readMountFlag('type=cache,target=/c') // { type: 'cache', target: '/c' }
 */
export function readMountFlag(text: string): StepMount | FlagProblem {
  const options = new Map(
    text.split(',').map((part): [string, string] => {
      const at = part.indexOf('=')
      return at === -1 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)]
    }),
  )
  // As Docker reads it: without a type it is `bind`.
  const type = options.get('type') ?? 'bind'
  const target = options.get('target') ?? options.get('dst') ?? options.get('destination')
  const id = options.get('id')
  const isFilled = options.has('from') || options.has('source') || options.has('src')
  if (target !== undefined && !/^\/./.test(target))
    return { text: `The target of a mount is an absolute path: \`${target}\``, hint: 'Write it from the root: /...' }
  if (type === 'tmpfs' && target !== undefined && !isFilled) return { type, target }
  if (type === 'cache' && target !== undefined && !isFilled) return readCache(text, target, options)
  if (type === 'secret' && (id ?? target) !== undefined && !options.has('env')) {
    const name = id ?? target?.slice(target.lastIndexOf('/') + 1) ?? ''
    return { type: 'secret', id: name, target: target ?? `/run/secrets/${name}` }
  }
  return { text: `The mount \`${text}\` is not known here`, hint: KNOWN }
}

function readCache(text: string, target: string, options: ReadonlyMap<string, string>): CacheMount | FlagProblem {
  const wrong = (name: string, hint: string): FlagProblem => ({
    text: `The option \`${name}\` of the mount \`${text}\` is not known here`,
    hint,
  })
  const unknown = [...options.keys()].find((name) => !OF_ALL.includes(name) && !OF_CACHES.includes(name))
  if (unknown !== undefined) return wrong(unknown, `A cache knows id, target, ${OF_CACHES.join(', ')}.`)
  const sharing = options.get('sharing')
  if (sharing !== undefined && sharing !== 'shared' && sharing !== 'private' && sharing !== 'locked')
    return wrong(`sharing=${sharing}`, 'Write `shared`, `private` or `locked`.')
  const mode = options.get('mode')
  if (mode !== undefined && !/^[0-7]{3,4}$/.test(mode)) return wrong(`mode=${mode}`, 'Write it in octal, such as 0755.')
  const owner = ['uid', 'gid'].find((name) => options.has(name) && !/^\d{1,9}$/.test(options.get(name) ?? ''))
  if (owner !== undefined) return wrong(`${owner}=${options.get(owner)}`, 'Write a number.')
  const id = options.get('id')
  return {
    type: 'cache',
    target,
    ...(id === undefined || id === '' ? {} : { id }),
    ...(sharing === undefined ? {} : { sharing }),
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
    ...(options.has('uid') ? { uid: Number(options.get('uid')) } : {}),
    ...(options.has('gid') ? { gid: Number(options.get('gid')) } : {}),
    ...(isReadOnly(options) ? { isReadOnly: true } : {}),
  }
}

/** `ro` alone is true, as with Docker. */
function isReadOnly(options: ReadonlyMap<string, string>): boolean {
  const said = (name: string): boolean => options.has(name) && options.get(name) !== 'false'
  return said('ro') || said('readonly') || options.get('rw') === 'false' || options.get('readwrite') === 'false'
}
