import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { digestHex } from 'oci-spec-types'
import { digestOf } from '../core/digest.ts'
import { makeFolder } from '../core/make-folder.ts'
import { namedAuthorities } from '../core/net/tls.ts'
import type { BindMount } from './container.ts'

/** What commands need to reach the network as this machine does. */
export interface StepNetwork {
  readonly env: Readonly<Record<string, string>>
  readonly binds: readonly BindMount[]
}

const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'ALL_PROXY', 'NO_PROXY']
/** Where the common tools look for the authorities that they trust. */
const BUNDLES = [
  'SSL_CERT_FILE',
  'PIP_CERT',
  'REQUESTS_CA_BUNDLE',
  'CURL_CA_BUNDLE',
  'GIT_SSL_CAINFO',
  'NODE_EXTRA_CA_CERTS',
]
const TARGET = '/run/layerwright/ca.pem'

/**
 * Lets commands use the proxies and trust the authorities that this machine is set to use, as the build itself does; none
 * of it stays in the layer.
 *
 * `SSL_CERT_FILE` names all authorities; `SSL_CERT_DIR` and `NODE_EXTRA_CA_CERTS` those besides it, or besides the public ones.
 *
 * @param folder keeps the bundle
 * @throws BuildError as {@link namedAuthorities}
 */
export async function stepNetwork(
  env: Readonly<Record<string, string | undefined>>,
  folder: string,
): Promise<StepNetwork> {
  const proxies = PROXIES.flatMap((name) => [name, name.toLowerCase()]).flatMap((name): [string, string][] => {
    const value = env[name]
    return value ? [[name, value]] : []
  })
  const bundle = bundleOf(env)
  if (bundle === undefined) return { env: Object.fromEntries(proxies), binds: [] }
  const file = join(folder, `ca-${digestHex(digestOf(bundle)).slice(0, 16)}.pem`)
  if (!existsSync(file)) {
    await makeFolder(folder, 0o700)
    writeFileSync(`${file}.${process.pid}`, bundle, { mode: 0o644 })
    renameSync(`${file}.${process.pid}`, file)
  }
  return {
    env: Object.fromEntries([...proxies, ...BUNDLES.map((name): [string, string] => [name, TARGET])]),
    binds: [{ source: file, destination: TARGET, options: ['ro', 'nosuid', 'nodev'] }],
  }
}

function bundleOf(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const { file, folders, extra } = namedAuthorities(env)
  if (file === undefined && folders === undefined && extra === undefined) return undefined
  return [...(extra ?? []), ...(folders ?? []), ...(file ?? rootCertificates), ''].join('\n')
}
