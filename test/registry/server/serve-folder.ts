import { serveRegistry } from '../../../registry/server/serve.ts'

// A process of its own for `kill.test.ts`: serves the folder it is given and says where.
const registry = await serveRegistry({ storage: { kind: 'directory', path: process.argv[2] ?? '' } })
process.stdout.write(`${registry.url}\n`)
