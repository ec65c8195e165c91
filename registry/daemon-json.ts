import { BuildError } from '../src/core/errors.ts'
import type { ConfigFile, HostSettings, MirrorSettings } from './hosts.ts'

/**
 * What Docker's `daemon.json` says about a registry: `registry-mirrors`, which are Docker Hub's, and `insecure-registries`.
 *
 * Of the latter names count, and no networks (`10.0.0.0/8`): Docker asks DNS for these.
 *
 * @returns undefined when it says nothing about this registry
 * @throws BuildError CONFIG_INVALID
 * @see Docker, "dockerd", "Daemon configuration file"
 */
export function readDaemonJson(file: ConfigFile, registry: string, base: HostSettings): HostSettings | undefined {
  const document = parse(file)
  const insecure = strings(document, 'insecure-registries', file.path)
  const isInsecure = insecure.includes(registry)
  const mirrors =
    registry === 'docker.io'
      ? strings(document, 'registry-mirrors', file.path).map((text) => mirrorOf(text, file.path, insecure))
      : []
  if (mirrors.length === 0 && !isInsecure) return undefined
  return { ...base, insecure: base.insecure || isInsecure, mirrors, origins: [...base.origins, file.path] }
}

/** An empty file is none, as for Docker. */
function parse({ path, text }: ConfigFile): Readonly<Record<string, unknown>> {
  const plain = text.replace(/^\uFEFF/, '').trim()
  let document: unknown
  try {
    document = plain === '' ? {} : JSON.parse(plain)
  } catch (cause) {
    throw new BuildError('CONFIG_INVALID', `The file is not valid JSON: \`${path}\``, { cause })
  }
  if (typeof document === 'object' && document !== null && !Array.isArray(document))
    return document as Record<string, unknown>
  throw new BuildError('CONFIG_INVALID', `The file is not a JSON object: \`${path}\``)
}

function strings(document: Readonly<Record<string, unknown>>, key: string, path: string): readonly string[] {
  const value = document[key] ?? []
  if (Array.isArray(value) && value.every((entry): entry is string => typeof entry === 'string')) return value
  throw new BuildError('CONFIG_INVALID', `\`${key}\` is not a list of texts: \`${path}\``)
}

/** Docker takes nothing after the host, and neither user nor password. */
function mirrorOf(text: string, path: string, insecure: readonly string[]): MirrorSettings {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isHost = url !== undefined && /^https?:$/.test(url.protocol) && url.href === `${url.protocol}//${url.host}/`
  if (!isHost)
    throw new BuildError('CONFIG_INVALID', `A mirror is not \`https://HOST\` in \`registry-mirrors\`: \`${path}\``)
  return {
    host: url.host,
    scheme: url.protocol === 'http:' ? 'http' : 'https',
    insecure: insecure.includes(url.host),
    repository: (repository) => repository,
    resolvesTags: true,
  }
}
