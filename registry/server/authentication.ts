import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { compare } from 'bcryptjs'
import { BuildError } from '../../src/core/errors.ts'

/** Tells whether the value of an `Authorization` header names a user with the right password. */
export type Authenticator = (authorization: string | undefined) => Promise<boolean>

/** The challenge that answers a request without credentials. */
export const CHALLENGE = 'Basic realm="layerwright registry", charset="UTF-8"'

/** Users by name, each with a bcrypt hash. */
export type Users = ReadonlyMap<string, string>

// A user that nobody has is checked against this, so that the answer takes as long as for one that exists.
const NOBODY = '$2b$10$/uZF9Enux0T1NheU2boPMO6ZqxW/ddlToMAyqXphA.4Ouu6F6v1xq'
const MAX_REMEMBERED = 1_000

/**
 * Reads an htpasswd file.
 *
 * Only bcrypt is accepted (`htpasswd -B`), as Docker's registry does: the other schemes are quick to guess.
 *
 * @param path  names the file in errors
 * @throws BuildError INPUT_INVALID with the line; the hash is not shown
 */
export function parseHtpasswd(text: string, path: string): Users {
  const users = new Map<string, string>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const hash = line.slice(colon + 1).trim()
    if (colon < 1 || !/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(hash)) {
      throw new BuildError('INPUT_INVALID', `Line ${index + 1} is no \`user:bcrypt-hash\`: \`${path}\``, {
        hint: 'Make the entry with `htpasswd -B`; MD5, SHA-1, crypt and plain passwords are not accepted.',
      })
    }
    users.set(line.slice(0, colon), hash)
  }
  if (users.size === 0) throw new BuildError('INPUT_INVALID', `No user in \`${path}\``)
  return users
}

/**
 * Checks Basic credentials against an htpasswd file, which is read again when it changes.
 *
 * A pair that was right once is remembered (as a hash): bcrypt is slow on purpose, and a push sends it a hundred times.
 *
 * @throws BuildError FILE_UNREADABLE, INPUT_INVALID
 */
export async function htpasswdAuthenticator(path: string): Promise<Authenticator> {
  let loaded = await loadUsers(path)
  let checks = new Map<string, Promise<boolean>>()

  const check = async (user: string, password: string): Promise<boolean> => {
    const hash = loaded.users.get(user)
    const isRight = await compare(password, hash ?? NOBODY)
    return isRight && hash !== undefined
  }
  const remembered = (user: string, password: string): Promise<boolean> => {
    const key = createHash('sha256').update(`${user}:${password}`).digest('hex')
    const known = checks.get(key)
    if (known !== undefined) return known
    const checking = check(user, password)
    if (checks.size >= MAX_REMEMBERED) checks = new Map()
    checks.set(key, checking)
    void checking.then((isRight) => isRight || checks.delete(key))
    return checking
  }

  return async (authorization) => {
    const credentials = parseBasic(authorization)
    if (credentials === undefined) return false
    if ((await modifiedMs(path)) !== loaded.modifiedMs) {
      loaded = await loadUsers(path)
      checks = new Map()
    }
    return remembered(...credentials)
  }
}

async function loadUsers(path: string): Promise<{ readonly users: Users; readonly modifiedMs: number }> {
  const modified = await modifiedMs(path)
  return { users: parseHtpasswd(await readFile(path, 'utf8'), path), modifiedMs: modified }
}

async function modifiedMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    throw new BuildError('FILE_UNREADABLE', `Cannot read the password file \`${path}\``, { cause: error })
  }
}

function parseBasic(authorization: string | undefined): [user: string, password: string] | undefined {
  const encoded = /^Basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(authorization ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : [text.slice(0, colon), text.slice(colon + 1)]
}
