import { readFile } from 'node:fs/promises'
import { Ajv } from 'ajv'

/** A file of `fixtures/kubernetes`. */
export async function fixture(name: string): Promise<object> {
  const url = new URL(`../../fixtures/kubernetes/${name}`, import.meta.url)
  return JSON.parse(await readFile(url, 'utf8')) as object
}

/** Checks values against the definitions of one document. */
export function validator(schema: object): Ajv {
  return new Ajv({ strict: false, allErrors: true, validateFormats: false }).addSchema({ ...schema, $id: 'objects' })
}

/** What a definition has against a value; empty when nothing. @throws RangeError for a definition that is not there */
export function problems(ajv: Ajv, reference: string, value: unknown): unknown {
  const validate = ajv.getSchema(`objects${reference}`)
  if (validate === undefined) throw new RangeError(`No such schema: ${reference}`)
  // Through JSON: what is undefined is not there.
  void validate(JSON.parse(JSON.stringify(value)))
  return validate.errors ?? []
}
