import { z } from 'zod'

/** Which versions of a model there are, and how requests come to them. */
export type RouteTable = z.output<typeof routeTableSchema>

/** How servers are asked whether they take work. */
export type HealthSettings = RouteTable['health']

/** The largest body that a mirror gets unless the table says otherwise, in bytes. */
const MIRROR_BYTES = 1 << 20

const name = z
  .string()
  .regex(
    /^[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?$/,
    'A version has a name of up to 63 letters, digits, `.`, `_` and `-`',
  )
const headerName = z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/, 'This is no name of a header or cookie')

const url = z.string().transform((text, context) => {
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  const problem = parsed === undefined ? 'This is no address' : problemOf(parsed)
  if (problem === undefined && parsed !== undefined) return parsed
  context.addIssue({ code: 'custom', message: `${problem}; one looks like http://127.0.0.1:5000` })
  return z.NEVER
})

/** In seconds. Below the least, a slow server would be asked before it has answered. */
const SECONDS = { least: 0.05, most: 3600 }

const version = z
  .strictObject({
    url: url.optional(),
    urls: z.array(url).optional(),
    /** Against the sum of all; 0 for those who ask by name alone. */
    weight: z.number().min(0, 'A weight is 0 or more').max(1e9, 'A weight is 1000000000 at most'),
  })
  .transform(({ url: one, urls: several = [], weight }, context) => {
    const urls = one === undefined ? several : [one, ...several]
    const hrefs = urls.map(({ href }) => href)
    const twice = hrefs.find((href, at) => hrefs.indexOf(href) < at)
    const problem =
      (one === undefined) === (several.length === 0)
        ? 'A version has one `url`, or several `urls`'
        : twice === undefined
          ? undefined
          : `An address stands twice: ${twice}`
    if (problem === undefined) return { urls, weight }
    context.addIssue({ code: 'custom', message: problem })
    return z.NEVER
  })

const health = z.strictObject({
  path: z
    .string()
    .regex(/^\/[!-~]*$/, 'A path begins with `/`, and has neither spaces nor letters beyond ASCII')
    .default('/health-check'),
  /** 0 for no checks. */
  interval_seconds: z
    .number()
    .refine(
      (seconds) => seconds === 0 || (seconds >= SECONDS.least && seconds <= SECONDS.most),
      `An interval is ${SECONDS.least} to ${SECONDS.most} seconds, or 0 for no checks`,
    )
    .default(5),
  timeout_seconds: z
    .number()
    .refine(
      (seconds) => seconds >= SECONDS.least && seconds <= SECONDS.most,
      `A timeout is ${SECONDS.least} to ${SECONDS.most} seconds`,
    )
    .default(2),
})

/** The shape of a file of routes. */
export const routeTableSchema = z
  .strictObject({
    versions: z.record(name, version),
    /** Requests that say the same here reach the same version. */
    sticky: z.union([z.strictObject({ header: headerName }), z.strictObject({ cookie: headerName })]).optional(),
    /** How servers are asked whether they take work. */
    health: health.prefault({}),
    /** A version that is sent copies of others' requests; what it answers is thrown away. */
    mirror: z
      .strictObject({
        to: name,
        percent: z.number().min(0, 'A share is 0 to 100 percent').max(100, 'A share is 0 to 100 percent'),
        max_bytes: z
          .int()
          .min(0, 'A size is 0 or more')
          .max(1 << 30, 'A size is 1 GiB at most')
          .default(MIRROR_BYTES),
      })
      .optional(),
  })
  .superRefine(({ versions, mirror }, context) => {
    const weights = Object.values(versions).map(({ weight }) => weight)
    // One below 0 is told of by itself.
    if (weights.every((weight) => weight === 0))
      context.addIssue({ code: 'custom', path: ['versions'], message: 'No version has a weight above 0' })
    if (mirror !== undefined && !Object.hasOwn(versions, mirror.to))
      context.addIssue({ code: 'custom', path: ['mirror', 'to'], message: 'There is no such version' })
  })

function problemOf({ protocol, username, password, search, hash }: URL): string | undefined {
  if (protocol !== 'http:' && protocol !== 'https:') return 'A server is reached by http or https'
  if (username !== '' || password !== '') return 'An address here holds no user or password'
  return search !== '' || hash !== '' ? 'An address here has no query' : undefined
}
