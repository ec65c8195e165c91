import type { Fault, Kind, Misbehaviour } from './registry-proxy.ts'

/** A way to break an operation. */
export interface Case {
  readonly operation: 'push' | 'pull' | 'copy'
  readonly what: string
  /** Whether it must succeed all the same; else it must be refused, without a tag. */
  readonly succeeds: boolean
  readonly faults: readonly Fault[]
  /** Every request needs a token. */
  readonly tokens?: true
}

const ALWAYS = 1000
const on = (kind: Kind, times: number, behaviour: Misbehaviour, more: Partial<Fault> = {}): Fault => ({
  kind,
  times,
  do: behaviour,
  ...more,
})
const retryAfter = (status: number): Misbehaviour => ({ status, headers: { 'retry-after': '1' } })
/** A layer's bytes, not the configuration's. */
const LAYER = { minBytes: 500_000 }
const unknown = (code: string): string => JSON.stringify({ errors: [{ code, message: 'unknown' }] })

type Row = readonly [operation: Case['operation'], what: string, succeeds: boolean, ...faults: readonly Fault[]]

/** The 30 faults of the survey of clients, in its order. */
const SURVEY: readonly Row[] = [
  ['pull', 'blob cut once after 300 kB', true, on('blob', 1, { cutAfter: 300_000 })],
  ['pull', 'blob cut 3 times', true, on('blob', 3, { cutAfter: 300_000 })],
  ['pull', 'blob ends early, cleanly, once', true, on('blob', 1, { endAfter: 300_000 })],
  ['pull', 'blob corrupt once', true, on('blob', 1, { corrupt: true })],
  ['pull', 'blob corrupt always', false, on('blob', ALWAYS, { corrupt: true })],
  ['pull', 'blob with Content-Encoding: gzip', true, on('blob', ALWAYS, { gzip: true })],
  ['pull', 'blob without length', true, on('blob', ALWAYS, { headers: { 'content-length': undefined } })],
  ['pull', 'blob 307 to a store on another port', true, on('blob', ALWAYS, { redirect: 'store' })],
  ['pull', 'blob 503 once', true, on('blob', 1, { status: 503 })],
  ['pull', 'blob 429 Retry-After 1, twice', true, on('blob', 2, retryAfter(429))],
  ['pull', 'manifest 429 Retry-After 1, twice', true, on('manifest', 2, retryAfter(429))],
  ['pull', 'manifest 500 once', true, on('manifest', 1, { status: 500 })],
  ['pull', 'HEAD manifest 405', true, on('head-manifest', ALWAYS, { status: 405 })],
  [
    'pull',
    'manifest without Docker-Content-Digest',
    true,
    on('manifest', ALWAYS, { headers: { 'docker-content-digest': undefined } }),
  ],
  ['pull', 'manifest corrupt', false, on('manifest', ALWAYS, { corrupt: true })],
  [
    'pull',
    'Content-Type with parameters on the manifest',
    true,
    on('manifest', ALWAYS, {
      headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json; charset=utf-8' },
    }),
  ],
  ['push', 'upload cut once after 300 kB', true, on('data', 1, { cutAfter: 300_000 }, LAYER)],
  ['push', 'upload data 503 once', true, on('data', 1, { status: 503 })],
  ['push', 'upload start 500 once', true, on('start', 1, { status: 500 })],
  ['push', 'upload start 429 Retry-After 1, twice', true, on('start', 2, retryAfter(429))],
  ['push', 'relative Location', true, on('start', ALWAYS, { location: 'relative' })],
  ['push', 'Location with an opaque query', true, on('start', ALWAYS, { location: 'query' })],
  ['push', 'Location on another host', true, on('start', ALWAYS, { location: 'elsewhere' })],
  ['push', 'HEAD blob 403', true, on('head-blob', ALWAYS, { status: 403 })],
  ['push', 'HEAD blob 500 once', true, on('head-blob', 1, { status: 500 })],
  ['push', 'manifest PUT 500 once', true, on('put-manifest', 1, { status: 500 })],
  [
    'push',
    'manifest PUT without Docker-Content-Digest',
    true,
    on('put-manifest', 1, { headers: { 'docker-content-digest': undefined } }),
  ],
  ['copy', 'mount 403', true, on('mount', ALWAYS, { status: 403 })],
  ['copy', 'mount 405', true, on('mount', ALWAYS, { status: 405 })],
  ['copy', 'mount 404', true, on('mount', ALWAYS, { status: 404 })],
]

/** 34 more of the kinds that networks and registries make, and 2 with tokens, which the survey ran by hand. */
const MORE: readonly Row[] = [
  ['pull', 'blob cut 5 times', true, on('blob', 5, { cutAfter: 150_000 })],
  ['pull', 'blob reset once', true, on('blob', 1, { reset: true })],
  ['pull', 'blob stalls once', true, on('blob', 1, { stallAfter: 300_000 })],
  ['pull', 'blob stalls before its answer once', true, on('blob', 1, { stallAfter: 0 })],
  ['pull', 'blob slow', true, on('blob', ALWAYS, { slow: 8 })],
  ['pull', 'blob with bytes too many once', true, on('blob', 1, { extra: true })],
  ['pull', 'blob with bytes too many always', false, on('blob', ALWAYS, { extra: true })],
  [
    'pull',
    'blob cut, then Range ignored',
    true,
    on('blob', 1, { range: 'ignored' }, { ofRange: true }),
    on('blob', 1, { cutAfter: 300_000 }),
  ],
  [
    'pull',
    'blob cut, then another Range than asked for',
    true,
    on('blob', 1, { range: 'lied' }, { ofRange: true }),
    on('blob', 1, { cutAfter: 300_000 }),
  ],
  [
    'pull',
    'blob cut, then Range refused',
    true,
    on('blob', 1, { status: 416 }, { ofRange: true }),
    on('blob', 1, { cutAfter: 300_000 }),
  ],
  ['pull', 'blob 500 twice', true, on('blob', 2, { status: 500 })],
  ['pull', 'blob redirected in circles', false, on('blob', ALWAYS, { redirect: 'loop' })],
  ['pull', 'manifest reset once', true, on('manifest', 1, { reset: true })],
  ['pull', 'manifest stalls once', true, on('manifest', 1, { stallAfter: 0 })],
  ['pull', 'manifest 502 with a page once', true, on('manifest', 1, { status: 502, body: '<html>Bad Gateway</html>' })],
  ['pull', 'manifest 503 Retry-After 1 once', true, on('manifest', 1, retryAfter(503))],
  [
    'pull',
    'manifest with a lying Docker-Content-Digest',
    false,
    on('manifest', ALWAYS, { headers: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } }),
  ],
  ['push', 'upload stalls once', true, on('data', 1, { stallAfter: 300_000 }, LAYER)],
  ['push', 'upload cut 3 times', true, on('data', 3, { cutAfter: 200_000 }, LAYER)],
  ['push', 'upload reset once', true, on('data', 1, { reset: true }, LAYER)],
  ['push', 'upload acknowledgement lost', true, on('data', 1, { loseAcknowledgement: true }, LAYER)],
  [
    'push',
    'upload session unknown once',
    true,
    on('data', 1, { status: 404, body: unknown('BLOB_UPLOAD_UNKNOWN') }, LAYER),
  ],
  ['push', 'upload 429 Retry-After 1 once', true, on('data', 1, retryAfter(429), LAYER)],
  ['push', 'upload 413 above 512 kB', true, on('data', ALWAYS, { status: 413 }, { minBytes: 524_289 })],
  ['push', 'upload start reset once', true, on('start', 1, { reset: true })],
  ['push', 'upload start acknowledgement lost', true, on('start', 1, { loseAcknowledgement: true })],
  ['push', 'HEAD manifest 500 once', true, on('head-manifest', 1, { status: 500 })],
  ['push', 'manifest PUT reset once', true, on('put-manifest', 1, { reset: true })],
  ['push', 'manifest PUT acknowledgement lost', true, on('put-manifest', 1, { loseAcknowledgement: true })],
  ['push', 'manifest PUT 429 Retry-After 1, twice', true, on('put-manifest', 2, retryAfter(429))],
  [
    'push',
    'manifest PUT "blob unknown" once',
    true,
    on('put-manifest', 1, { status: 400, body: unknown('MANIFEST_BLOB_UNKNOWN') }),
  ],
  ['copy', 'mount 500', true, on('mount', ALWAYS, { status: 500 })],
  ['copy', 'mount reset once', true, on('mount', 1, { reset: true })],
  ['copy', 'mount acknowledgement lost', true, on('mount', 1, { loseAcknowledgement: true })],
]

const WITH_TOKENS: readonly Row[] = [
  ['pull', 'blob 307 to another port, with a token', true, on('blob', ALWAYS, { redirect: 'store' })],
  [
    'push',
    'token expired at the end of a blob and at the manifest',
    true,
    on('data', 1, { expire: true }),
    on('put-manifest', 1, { expire: true }),
  ],
]

const asCase = ([operation, what, succeeds, ...faults]: Row): Case => ({ operation, what, succeeds, faults })

/** All of them: the survey's 30, and 36 more. */
export const CASES: Readonly<Record<'survey' | 'more', readonly Case[]>> = {
  survey: SURVEY.map(asCase),
  more: [...MORE.map(asCase), ...WITH_TOKENS.map((row) => ({ ...asCase(row), tokens: true as const }))],
}
