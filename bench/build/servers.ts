import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { freePort, startDockerRegistry, type DockerRegistry } from '../../test/support/docker-registry.ts'

/** Debian's docker-registry in a folder of its own. */
export interface Registry extends Omit<DockerRegistry, 'folder'> {
  /** What it keeps, in megabytes. */
  megabytes(): number
}

/** What an index gave so far. */
export interface Served {
  /** Bytes of files, in megabytes. */
  readonly megabytes: number
  readonly requests: number
}

/** An index of wheels. */
export interface Index {
  readonly url: string
  served(): Promise<Served>
  close(): void
}

let lastPort: number | undefined

/** Starts an empty registry; always on the same port, since the images' names have it. */
export async function startRegistry(scratch: string): Promise<Registry> {
  lastPort ??= await freePort()
  const { folder, ...registry } = await startDockerRegistry({ scratch, port: lastPort, isCounting: true })
  return {
    ...registry,
    megabytes: () => Number(execFileSync('du', ['-sm', folder]).toString().split('\t')[0]),
  }
}

/** Starts the index over folders of wheels, and over `synthetic:COUNT:MEGABYTES`. */
export async function startIndex(wheels: readonly string[]): Promise<Index> {
  const script = path.join(import.meta.dirname, 'wheel-server.mjs')
  const child = spawn(process.execPath, [script, ...wheels], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const url = line.toString().trim()
  return {
    url,
    served: async () => {
      const { bytes, requests } = (await (await fetch(new URL('/served', url))).json()) as Record<string, number>
      return { megabytes: (bytes ?? 0) / 1e6, requests: requests ?? 0 }
    },
    close: () => void child.kill(),
  }
}
