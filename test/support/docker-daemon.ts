import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from './command.ts'
import { startDaemon } from './daemon.ts'

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
  const places = [
    '--data-root',
    join(folder, 'data'),
    '--exec-root',
    join(folder, 'exec'),
    '--pidfile',
    join(folder, 'pid'),
  ]
  const network = ['--iptables=false', '--bridge=none', '--ip-forward=false']
  const close = await startDaemon(folder, ['dockerd', '--host', host, ...places, ...network], async () => {
    const { status } = await runCommand('docker', ['--host', host, 'info'])
    return status === 0
  })
  return { host, close }
}
