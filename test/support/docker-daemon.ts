import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from './command.ts'

/** A daemon of one's own. */
export interface DockerDaemon {
  /** For `DOCKER_HOST`. */
  readonly host: string
  close(): Promise<void>
}

/**
 * Starts dockerd, with its containerd, for one test: all it keeps lies in a folder, and it touches no network of the host.
 * Needs root.
 *
 * @param folder with a short path, as sockets have
 */
export async function startDockerDaemon(folder: string): Promise<DockerDaemon> {
  mkdirSync(folder, { recursive: true })
  const host = `unix://${join(folder, 'd.sock')}`
  const log = join(folder, 'log')
  const output = openSync(log, 'a')
  const child = spawn(
    'dockerd',
    [
      '--host',
      host,
      '--data-root',
      join(folder, 'data'),
      '--exec-root',
      join(folder, 'exec'),
      '--pidfile',
      join(folder, 'pid'),
      '--iptables=false',
      '--bridge=none',
      '--ip-forward=false',
    ],
    { stdio: ['ignore', output, output] },
  )
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.once('error', () => {})
  const close = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
    // It leaves its network namespace mounted.
    await unmountBelow(folder)
  }
  for (let turn = 0; turn < 600; turn++) {
    if (child.exitCode !== null || child.pid === undefined) throw new Error(`dockerd ended: ${lastWords(log)}`)
    const { status } = await runCommand('docker', ['--host', host, 'info'])
    if (status === 0) return { host, close }
    await sleep(100)
  }
  await close()
  throw new Error(`dockerd did not answer: ${lastWords(log)}`)
}

/** Takes away what a daemon left mounted. */
export async function unmountBelow(folder: string): Promise<void> {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const place = line.split(' ')[4] ?? ''
    if (place.startsWith(`${folder}/`)) await runCommand('umount', ['--lazy', place])
  }
}

function lastWords(log: string): string {
  return existsSync(log) ? readFileSync(log, 'utf8').slice(-2000) : 'it never started'
}
