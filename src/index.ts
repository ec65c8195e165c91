export { BuildError, exitStatus, type ErrorCode } from './core/errors.ts'
export { serveRegistry, type ServedRegistry, type ServeOptions } from '../registry/server/serve.ts'
