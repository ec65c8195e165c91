import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * What comes before a command that starts Cog's own server in a container, on the network of this machine: it names its
 * sockets by its process, which has the same number in each. `python/tests/support.py` waits for the same file.
 */
export const ONE_COG = ['flock', join(tmpdir(), 'layerwright-test-cog.lock')] as const
