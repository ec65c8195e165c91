import { homedir } from 'node:os'

/**
 * The user's home folder; undefined where there is none, which is an answer: HOME unset and a user id without a passwd
 * entry are common in containers.
 */
export function homeFolder(env: Readonly<Record<string, string | undefined>>): string | undefined {
  if (env['HOME']) return env['HOME']
  try {
    return homedir()
  } catch {
    // A user id without a passwd entry has no home.
    return undefined
  }
}
