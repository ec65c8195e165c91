import { createHash, createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto'
import { BuildError } from '../core/errors.ts'

/** Media type of signed statements. */
export const DSSE_MEDIA_TYPE = 'application/vnd.dsse.envelope.v1+json'

/**
 * Signs a statement as a DSSE envelope.
 *
 * @see https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
 */
export function signEnvelope(payload: Buffer, payloadType: string, key: KeyObject): Record<string, unknown> {
  const message = preAuthenticationEncoding(payload, payloadType)
  const signature = sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', message, key)
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  return {
    payloadType,
    payload: payload.toString('base64'),
    signatures: [{ keyid: createHash('sha256').update(publicKey).digest('hex'), sig: signature.toString('base64') }],
  }
}

/** What is signed: the type and the payload, each behind its length. */
export function preAuthenticationEncoding(payload: Buffer, payloadType: string): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `
  return Buffer.concat([Buffer.from(head), payload])
}

/** Reads a key that signs statements: ECDSA P-256, as cosign has it, or Ed25519; PEM. @throws BuildError CREDENTIALS_INVALID */
export function readAttestKey(pem: Buffer, where: string): KeyObject {
  let key: KeyObject | undefined
  try {
    key = createPrivateKey(pem)
  } catch {
    // Said below without the parser's words, which may show the key.
  }
  const isP256 = key?.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
  if (key !== undefined && (isP256 || key.asymmetricKeyType === 'ed25519')) return key
  throw new BuildError('CREDENTIALS_INVALID', `Not a private ECDSA P-256 or Ed25519 key: \`${where}\``, {
    hint: 'Make one with `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out attest.pem`.',
  })
}
