import { once } from 'node:events'
import { BuildError } from '../../core/errors.ts'
import type { HealthChange } from '../../route/router.ts'
import { append } from '../append.ts'
import type { Command, Io } from '../command.ts'
import { parseDuration, parsePort } from '../quantity.ts'
import { readKeyPair, type TlsFlags } from '../read-key-pair.ts'
import { readRoutes, tableOfFlags, type RouteFlags } from '../route-flags.ts'
import { warnOfEnd, watchKeyPair } from '../watch-key-pair.ts'
import { watchRoutes } from '../watch-routes.ts'

/** `layerwright route`: a router in this process, until it is interrupted. */
export const command: Command = {
  define(program) {
    program
      .argument('[file]', 'versions, weights and rules as YAML; read again when it changes, and on SIGHUP')
      .option(
        '--split <version>',
        'a version as NAME=URL@WEIGHT, or NAME=URL,URL@WEIGHT; can be given several times',
        append,
        [],
      )
      .option('--sticky-header <name>', 'requests with the same value of this header reach the same version')
      .option('--sticky-cookie <name>', 'requests with the same value of this cookie reach the same version')
      .option('--mirror <version>', 'NAME=PERCENT: send copies of so many requests there and throw the answers away')
      .option('--health-path <path>', 'where servers are asked whether they take work; /health-check unless given')
      .option('--health-interval <time>', 'how often; 5s unless given, 0s for never')
      .option('--health-timeout <time>', 'how long an answer may take; 2s unless given')
      .option('-p, --port <port>', 'port to listen on; 0 for a free one', '8394')
      .option('--host <address>', 'address to listen on; 0.0.0.0 for everybody', '127.0.0.1')
      .option('--tls-cert <file>', 'serve HTTPS with this certificate (PEM); read again when it changes')
      .option('--tls-key <file>', 'the key of the certificate (PEM)')
      .option('--grace <time>', 'how long requests under way may take once it is told to stop', '30s')
  },
  async run([file], options, io) {
    const flags = options as unknown as Flags
    const port = parsePort(flags.port)
    const graceMs = parseDuration(flags.grace)
    if (graceMs >= 2 ** 31) throw new BuildError('USAGE', `--grace is too long: \`${flags.grace}\``)
    const table = file === undefined ? tableOfFlags(flags) : await readRoutes(file, io.cwd, flags)
    const certificate = await readKeyPair(flags, io.cwd)
    if (certificate !== undefined) warnOfEnd(certificate, flags.tlsCert ?? '', io.report)
    const { serveRouter } = await import('../../route/serve-router.ts')
    const onHealth = (change: HealthChange): void => tellHealth(change, io)
    const served = await serveRouter({ table, port, host: flags.host, certificate, onHealth, env: io.env })
    io.stdout.write(`${served.url}\n`)
    const unwatch = [
      file === undefined ? () => {} : watchRoutes(file, served.router, io),
      watchKeyPair(flags, (pair) => served.replaceCertificate(pair), io),
    ]
    try {
      if (!io.signal.aborted) await once(io.signal, 'abort')
    } finally {
      for (const stop of unwatch) stop()
      await served.close(graceMs)
    }
  },
}

interface Flags extends RouteFlags, TlsFlags {
  readonly port: string
  readonly host: string
  readonly grace: string
}

function tellHealth({ version, url, reason, serversLeft, versionsLeft }: HealthChange, { report }: Io): void {
  const server = `\`${version}\` at ${url.href}`
  if (reason === undefined) return report({ type: 'note', level: 'info', text: `${server} gets requests again` })
  const share = serversLeft > 0 ? 'its other servers get' : 'other versions get'
  const rest = versionsLeft > 0 ? `${share} its requests` : 'no version is left, so that all are tried'
  report({ type: 'note', level: 'warning', text: `${server} is left out: ${reason}; ${rest}` })
}
