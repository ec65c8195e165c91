import { OCI, type Descriptor, type Digest, type Manifest } from 'oci-spec-types'
import { digestOf } from '../../../src/core/digest.ts'

/** Sends bytes to a registry as plainly as the specification allows: one POST. */
export async function pushBlob(base: string, name: string, content: string | Uint8Array): Promise<Descriptor> {
  const digest = digestOf(content)
  const response = await fetch(`${base}/v2/${name}/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    body: bodyOf(content),
  })
  if (response.status !== 201) throw new Error(`POST blob: ${response.status} ${await response.text()}`)
  return { mediaType: 'application/octet-stream', digest, size: Buffer.byteLength(content) }
}

/** Sends a manifest; any answer is an answer. */
export function putManifest(base: string, name: string, reference: string, document: unknown): Promise<Response> {
  const body = typeof document === 'string' ? document : JSON.stringify(document)
  const mediaType =
    typeof document === 'object' && document !== null && 'mediaType' in document
      ? String(document.mediaType)
      : OCI.manifest
  return fetch(`${base}/v2/${name}/manifests/${reference}`, {
    method: 'PUT',
    body,
    headers: { 'content-type': mediaType },
  })
}

/** A pushed image. */
export interface PushedImage {
  readonly manifest: Manifest
  readonly text: string
  readonly digest: Digest
}

/** Pushes an image of one layer under a tag. */
export async function pushImage(
  base: string,
  name: string,
  tag: string,
  extra: Partial<Manifest> & { readonly content?: string } = {},
): Promise<PushedImage> {
  const { content = `layer of ${name}:${tag}`, ...fields } = extra
  const config = { ...(await pushBlob(base, name, '{}')), mediaType: OCI.empty }
  const layer = { ...(await pushBlob(base, name, content)), mediaType: OCI.layer }
  const manifest: Manifest = { schemaVersion: 2, mediaType: OCI.manifest, config, layers: [layer], ...fields }
  const text = JSON.stringify(manifest)
  const response = await putManifest(base, name, tag, text)
  if (response.status !== 201) throw new Error(`PUT manifest: ${response.status} ${await response.text()}`)
  return { manifest, text, digest: digestOf(text) }
}

/** The code of a registry's error body. */
export async function faultCode(response: Response): Promise<string> {
  const body = (await response.json()) as { errors: { code: string; message: string }[] }
  return body.errors[0]?.code ?? ''
}

function bodyOf(content: string | Uint8Array): string | Uint8Array<ArrayBuffer> {
  return typeof content === 'string' ? content : new Uint8Array(content)
}
