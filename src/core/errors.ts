/** Exit statuses of the command line (see `docs/reference/exit-status.md`). */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  unsatisfied: 3,
  denied: 4,
  integrity: 5,
  retry: 75,
  interrupted: 130,
} as const

/** Every error code, with the exit status it leads to. The list is closed and stable: scripts may match on it. */
export const ERROR_CODES = {
  INTERNAL: EXIT.failed,
  BUILD_FAILED: EXIT.failed,
  RUN_FAILED: EXIT.failed,
  DISK_FULL: EXIT.failed,
  FILE_UNREADABLE: EXIT.failed,
  FILE_UNWRITABLE: EXIT.failed,
  HOST_UNSUPPORTED: EXIT.failed,
  COMMAND_NOT_FOUND: EXIT.failed,
  USAGE: EXIT.usage,
  CONFIG_INVALID: EXIT.usage,
  CONFIG_MISSING: EXIT.usage,
  PROJECT_INVALID: EXIT.usage,
  PREDICTOR_INVALID: EXIT.usage,
  REFERENCE_INVALID: EXIT.usage,
  REQUIREMENT_INVALID: EXIT.usage,
  INPUT_INVALID: EXIT.usage,
  NOT_SUPPORTED: EXIT.usage,
  RESOLVE_CONFLICT: EXIT.unsatisfied,
  ENVIRONMENT_CONFLICT: EXIT.unsatisfied,
  WHEEL_NOT_FOUND: EXIT.unsatisfied,
  PACKAGE_NOT_FOUND: EXIT.unsatisfied,
  BASE_NOT_FOUND: EXIT.unsatisfied,
  INTERPRETER_NOT_FOUND: EXIT.unsatisfied,
  IMAGE_NOT_FOUND: EXIT.unsatisfied,
  PLATFORM_NOT_FOUND: EXIT.unsatisfied,
  WEIGHTS_NOT_FOUND: EXIT.unsatisfied,
  HOST_NOT_FOUND: EXIT.unsatisfied,
  LOCK_STALE: EXIT.unsatisfied,
  REGISTRY_DENIED: EXIT.denied,
  INDEX_DENIED: EXIT.denied,
  WEIGHTS_DENIED: EXIT.denied,
  CREDENTIALS_INVALID: EXIT.denied,
  DIGEST_MISMATCH: EXIT.integrity,
  SIZE_MISMATCH: EXIT.integrity,
  SIGNATURE_INVALID: EXIT.integrity,
  CERTIFICATE_INVALID: EXIT.integrity,
  TLS_FAILED: EXIT.integrity,
  ARCHIVE_INVALID: EXIT.integrity,
  WHEEL_INVALID: EXIT.integrity,
  IMAGE_INVALID: EXIT.integrity,
  STORE_CORRUPT: EXIT.integrity,
  REGISTRY_FAILED: EXIT.failed,
  REGISTRY_UNAVAILABLE: EXIT.retry,
  INDEX_FAILED: EXIT.failed,
  INDEX_UNAVAILABLE: EXIT.retry,
  WEIGHTS_UNAVAILABLE: EXIT.retry,
  ARCHIVE_UNAVAILABLE: EXIT.retry,
  NETWORK_FAILED: EXIT.retry,
  NETWORK_REFUSED: EXIT.failed,
  OFFLINE: EXIT.failed,
  TAG_MOVED: EXIT.retry,
  QUEUE_FULL: EXIT.retry,
  INTERRUPTED: EXIT.interrupted,
} as const satisfies Record<string, number>

/** A stable name for what went wrong. */
export type ErrorCode = keyof typeof ERROR_CODES

/** What an error may carry besides its code and message. */
export interface BuildErrorOptions {
  /** What the user can try, as one or more sentences without the word "hint". */
  readonly hint?: string | undefined
  /** Facts for programs; printed by `--json`. Holds no secret. */
  readonly data?: Readonly<Record<string, unknown>> | undefined
  readonly cause?: unknown
}

/**
 * An error that its reader can act on: input, network, files or a remote side are at fault.
 *
 * A mistake in our own code is a plain `TypeError` or `RangeError` instead.
 *
 * @example throw new BuildError('WHEEL_NOT_FOUND', `No wheel of ${name} fits linux/arm64`, { hint: '...' })
 */
export class BuildError extends Error {
  override readonly name: string = 'BuildError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly data: Readonly<Record<string, unknown>> | undefined

  constructor(code: ErrorCode, message: string, options: BuildErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.data = options.data
  }
}

/** Tells whether a value is a {@link BuildError} with this code. */
export function isBuildError(error: unknown, code?: ErrorCode): error is BuildError {
  return error instanceof BuildError && (code === undefined || error.code === code)
}

/** The exit status that an error leads to; an unknown error is 1. */
export function exitStatus(error: unknown): number {
  return error instanceof BuildError ? ERROR_CODES[error.code] : EXIT.failed
}

/** The code of a Node.js system error (`ENOENT`, `ENOSPC`, ...), if that is what it is. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
