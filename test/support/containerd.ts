import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startDaemon } from './daemon.ts'

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
  const command = ['containerd', '--config', join(folder, 'config.toml')] as const
  const close = await startDaemon(folder, command, () => existsSync(address))
  return { env: { NERDCTL_TOML: join(folder, 'nerdctl.toml') }, close }
}
