import { isDigest, type Digest } from 'oci-spec-types'
import { BuildError } from '../core/errors.ts'
import { VERSION_HEADER } from '../core/version-header.ts'
import { makeKubernetesObjects, type KubernetesObject, type KubernetesOptions } from './kubernetes.ts'

/** One version of a model: a tag of its image, and its share of the requests. */
export interface VersionShare {
  /** The tag, as written. */
  readonly tag: string
  /** Given when the tag may have moved since. */
  readonly digest: Digest | undefined
  /** Of 100; 0 keeps the version running for those who ask for it by name. */
  readonly weight: number
}

/** Versions of one model beside each other, and how requests come to them. */
export interface SplitOptions extends Omit<KubernetesOptions, 'image' | 'version' | 'queue'> {
  readonly versions: readonly (VersionShare & { readonly image: string })[]
  readonly gateway: GatewayName
  /** Requests for these hosts alone; all that the gateway takes when there is none. */
  readonly hostnames: readonly string[]
}

/** The gateway that a route joins. */
export interface GatewayName {
  readonly name: string
  /** The route's own unless given. */
  readonly namespace: string | undefined
}

/** An HTTPRoute has 16 rules at most: one for each version, and one for those who name none. */
const MAX_VERSIONS = 15
const WHOLE = 100
/** A label's value, which a tag becomes: shorter than tags may be, and not with `_`, `.` or `-` at its ends. */
const LABEL = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/

/**
 * Reads `TAG[@DIGEST]=WEIGHT,...`: every version once, under a name of its own, and weights that sum up to 100.
 *
 * @throws BuildError USAGE
 * @example parseSplit('v1=90,v2=10')
 */
export function parseSplit(text: string): readonly VersionShare[] {
  const versions = text.split(',').map((part) => parseShare(part.trim()))
  for (const [at, { tag }] of versions.entries()) {
    const other = versions.slice(0, at).find((one) => inName(one.tag) === inName(tag))
    if (other?.tag === tag) throw refused(`--split names a version twice: \`${tag}\``)
    if (other !== undefined)
      throw refused(`Two versions would share the name \`${inName(tag)}\`: \`${other.tag},${tag}\``)
  }
  if (versions.length > MAX_VERSIONS) throw refused(`--split takes up to ${MAX_VERSIONS} versions: ${versions.length}`)
  const sum = versions.reduce((total, { weight }) => total + weight, 0)
  if (sum !== WHOLE) throw refused(`The weights of --split sum up to ${sum}, not to ${WHOLE}: \`${text}\``)
  return versions
}

function parseShare(part: string): VersionShare {
  const [, tag = '', digest, weight = ''] = /^([^=@]*)(?:@([^=]*))?=(.*)$/.exec(part) ?? []
  if (tag === '' || !/^\d{1,3}$/.test(weight)) throw refused(`Not a version with its weight: \`${part}\``)
  if (!LABEL.test(tag)) throw refused(`Kubernetes takes no such name of a version: \`${tag}\``)
  if (digest !== undefined && !isDigest(digest)) throw refused(`Not a digest: \`${digest}\``)
  return { tag, digest, weight: Number(weight) }
}

/**
 * The objects of every version under a name of its own (`model-v1`), and one HTTPRoute that splits requests by weight.
 *
 * @see https://gateway-api.sigs.k8s.io/guides/traffic-splitting/
 */
export function makeSplitObjects(options: SplitOptions): readonly KubernetesObject[] {
  const { versions, gateway, hostnames, name, ...shared } = options
  const named = versions.map((version) => ({ ...version, name: objectName(name, version.tag) }))
  const servers = named.flatMap(({ name: own, tag, image }) =>
    makeKubernetesObjects({ ...shared, name: own, image, version: { model: name, tag } }),
  )
  return [...servers, httpRoute(name, named, gateway, hostnames)]
}

/** The name of a version's objects, such as `model-v1-2` of `v1.2`; whether it is one is for the caller to check. */
export function objectName(model: string, tag: string): string {
  return `${model}-${inName(tag)}`
}

function inName(tag: string): string {
  return tag.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
}

/** A match on a header is more specific than none, so that the weights are for those who name no version. */
function httpRoute(
  model: string,
  versions: readonly (VersionShare & { readonly name: string })[],
  { name, namespace }: GatewayName,
  hostnames: readonly string[],
): KubernetesObject {
  const backend = (service: string): KubernetesObject => ({ name: service, port: 80 })
  const byName = versions.map(({ tag, name: service }) => ({
    matches: [{ headers: [{ name: VERSION_HEADER, value: tag }] }],
    backendRefs: [backend(service)],
  }))
  const byWeight = { backendRefs: versions.map((one) => ({ ...backend(one.name), weight: one.weight })) }
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name: model, labels: { 'app.kubernetes.io/part-of': model } },
    spec: {
      parentRefs: [namespace === undefined ? { name } : { name, namespace }],
      ...(hostnames.length === 0 ? {} : { hostnames }),
      rules: [...byName, byWeight],
    },
  }
}

function refused(message: string): BuildError {
  return new BuildError('USAGE', message, {
    hint: 'Write tags of the image with whole weights that sum up to 100, such as --split v1=90,v2=10.',
  })
}
