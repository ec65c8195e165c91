import { createHash, createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A token server as the distribution project specifies it, for one user. */
export interface TokenServer {
  readonly realm: string
  readonly service: string
  readonly issuer: string
  /** Query of each request. */
  readonly requests: readonly URLSearchParams[]
  close(): Promise<void>
}

/** What it signs with and whom it knows. */
export interface TokenServerOptions {
  readonly key: string
  readonly certificate: string
  readonly username: string
  readonly password: string
}

/** Starts it on loopback. Tokens are ES256 with the certificate in `x5c`. */
export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const requests: URLSearchParams[] = []
  const service = 'test-registry'
  const issuer = 'test-issuer'
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? '/', 'http://x').searchParams
    requests.push(query)
    if (!isKnown(request, options)) {
      response.writeHead(401).end()
      return
    }
    const access = query.getAll('scope').map((scope) => {
      const parts = scope.split(':')
      return { type: parts[0], name: parts.slice(1, -1).join(':'), actions: parts.at(-1)?.split(',') }
    })
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: issuer, sub: options.username, aud: service, exp: now + 300, nbf: now - 10, iat: now }
    const token = makeToken({ ...claims, jti: randomUUID(), access }, options)
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ token, expires_in: 300 }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    realm: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    service,
    issuer,
    requests,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function isKnown(request: IncomingMessage, { username, password }: TokenServerOptions): boolean {
  return request.headers.authorization === `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function makeToken(claims: object, { key, certificate }: TokenServerOptions): string {
  const { raw } = new X509Certificate(certificate)
  const header = {
    typ: 'JWT',
    alg: 'ES256',
    x5c: [raw.toString('base64')],
    kid: createHash('sha256').update(raw).digest('hex'),
  }
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const body = `${encode(header)}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(body), { key: createPrivateKey(key), dsaEncoding: 'ieee-p1363' })
  return `${body}.${signature.toString('base64url')}`
}
