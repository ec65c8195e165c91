import { parse } from 'yaml'

/**
 * The value of a YAML document whose lines nobody needs to be told: files of the host, not of the project.
 *
 * @throws Error with the parser's words
 */
export function parsePlainYaml(text: string): unknown {
  return parse(text)
}
