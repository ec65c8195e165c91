/** The error codes of the distribution-spec that this registry answers with, and the status of each. */
const STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  // Not in the specification's table; the name that Docker's registry uses.
  PAGINATION_NUMBER_INVALID: 400,
  // Likewise.
  RANGE_INVALID: 416,
  SIZE_INVALID: 400,
  // Likewise.
  TAG_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  UNKNOWN: 500,
} as const

/** A code of the registry's error body. */
export type FaultCode = keyof typeof STATUS

/** What a fault may carry besides its code and message. */
export interface FaultOptions {
  /** Other than the code's usual one. */
  readonly status?: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly detail?: unknown
}

/** A refusal in the words of the distribution-spec ("Error codes"); thrown by handlers, sent by the dispatcher. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: FaultCode
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly detail: unknown

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message)
    this.code = code
    this.status = options.status ?? STATUS[code]
    this.headers = options.headers ?? {}
    this.detail = options.detail
  }

  /** The body, as JSON text. */
  body(): string {
    const { code, message, detail } = this
    return JSON.stringify({ errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] })
  }
}
