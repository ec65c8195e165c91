export { BuildError, exitStatus, type ErrorCode } from './core/errors.ts'
