import type { Server } from 'node:net'
import { BuildError } from '../errors.ts'

/** Waits until a server listens. @throws BuildError NETWORK_REFUSED when the port is taken, or the address is none of this machine */
export async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new BuildError('NETWORK_REFUSED', `Cannot listen on ${host}:${port}: ${cause.message}`, {
          hint: 'Choose another --port, or 0 for a free one.',
          cause,
        }),
      ),
    )
    server.listen({ host, port }, resolve)
  })
}
