import { spawn } from 'node:child_process'
import { existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from './command.ts'

/**
 * Starts a daemon that keeps all it has in a folder, and waits until it is ready. Its words go to `log` in the folder.
 *
 * @returns what ends it, and takes away what it left mounted there
 */
export async function startDaemon(
  folder: string,
  [command, ...args]: readonly [string, ...string[]],
  isReady: () => boolean | Promise<boolean>,
): Promise<() => Promise<void>> {
  const log = join(folder, 'log')
  const output = openSync(log, 'a')
  const child = spawn(command, args, { stdio: ['ignore', output, output] })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.once('error', () => {})
  const close = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
    await unmountBelow(folder)
  }
  for (let turn = 0; turn < 600 && child.exitCode === null && child.pid !== undefined; turn++) {
    if (await isReady()) return close
    await sleep(100)
  }
  await close()
  throw new Error(`${command} did not start: ${existsSync(log) ? readFileSync(log, 'utf8').slice(-2000) : ''}`)
}

async function unmountBelow(folder: string): Promise<void> {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const place = line.split(' ')[4] ?? ''
    if (place.startsWith(`${folder}/`)) await runCommand('umount', ['--lazy', place])
  }
}
