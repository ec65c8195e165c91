import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { unmountBelow } from './docker-daemon.ts'

/** A containerd of one's own. */
export interface Containerd {
  /** What nerdctl needs to find it, and to keep its own files beside it. */
  readonly env: Readonly<Record<string, string>>
  close(): Promise<void>
}

/**
 * Starts containerd for one test: all it keeps lies in a folder. Needs root.
 *
 * @param folder with a short path, as sockets have
 */
export async function startContainerd(folder: string): Promise<Containerd> {
  mkdirSync(folder, { recursive: true })
  const address = join(folder, 'c.sock')
  const config = [
    'version = 2',
    `root = "${folder}/root"`,
    `state = "${folder}/state"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    `[grpc]\naddress = "${address}"`,
    `[ttrpc]\naddress = "${folder}/t.sock"`,
  ]
  writeFileSync(join(folder, 'config.toml'), config.join('\n'))
  writeFileSync(join(folder, 'nerdctl.toml'), `address = "${address}"\ndata_root = "${folder}/nerdctl"\n`)
  const log = join(folder, 'log')
  const output = openSync(log, 'a')
  const child = spawn('containerd', ['--config', join(folder, 'config.toml')], { stdio: ['ignore', output, output] })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.once('error', () => {})
  const close = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
    await unmountBelow(folder)
  }
  for (let turn = 0; turn < 600 && child.exitCode === null && child.pid !== undefined; turn++) {
    if (existsSync(address)) return { env: { NERDCTL_TOML: join(folder, 'nerdctl.toml') }, close }
    await sleep(100)
  }
  await close()
  throw new Error(`containerd did not start: ${existsSync(log) ? readFileSync(log, 'utf8').slice(-2000) : ''}`)
}
