import { BuildError } from '../core/errors.ts'

/** A command that a wheel brings. */
export interface EntryPoint {
  /** The command's file name. */
  readonly name: string
  /** Dotted module, such as `numpy.f2py.f2py2e`. */
  readonly module: string
  /** Dotted object within the module; it is called without arguments. */
  readonly attribute: string
}

const SCRIPT_GROUPS = new Set(['console_scripts', 'gui_scripts'])
const IDENTIFIERS = /^[\p{ID_Start}_][\p{ID_Continue}]*(?:\.[\p{ID_Start}_][\p{ID_Continue}]*)*$/u

/**
 * The commands of an `entry_points.txt`, from `console_scripts` and `gui_scripts`; other groups are left alone.
 *
 * @param what names the wheel in errors
 * @throws BuildError WHEEL_INVALID with the line number, also for a name that would leave the folder of scripts
 * @see https://packaging.python.org/en/latest/specifications/entry-points/
 */
export function parseScriptEntryPoints(text: string, what: string): readonly EntryPoint[] {
  const found = new Map<string, EntryPoint>()
  let group = ''
  for (const [n, raw] of text.split(/\r\n|\r|\n/).entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue
    const refuse = (problem: string): BuildError =>
      new BuildError('WHEEL_INVALID', `${what}: entry_points.txt line ${n + 1}: ${problem}`)
    const section = /^\[(.*)\]$/.exec(line)
    if (section) {
      group = (section[1] ?? '').trim()
      continue
    }
    if (!SCRIPT_GROUPS.has(group)) continue
    const equals = line.indexOf('=')
    if (equals < 0) throw refuse(`expected \`name = module:object\`, found \`${line}\``)
    const entry = parseEntry(line.slice(0, equals).trim(), line.slice(equals + 1).trim(), refuse)
    const twin = found.get(entry.name)
    if (twin !== undefined && (twin.module !== entry.module || twin.attribute !== entry.attribute))
      throw refuse(`\`${entry.name}\` is declared twice`)
    found.set(entry.name, entry)
  }
  return [...found.values()]
}

function parseEntry(name: string, value: string, refuse: (problem: string) => BuildError): EntryPoint {
  // Extras in brackets are allowed by the specification and mean nothing to an installer.
  const target = value.replace(/\s*\[[^\]]*\]\s*$/, '')
  const [, module = '', attribute = ''] = /^([^:\s]+)\s*:\s*([^:\s]+)$/.exec(target) ?? []
  if (!IDENTIFIERS.test(module) || !IDENTIFIERS.test(attribute))
    throw refuse(`\`${name}\` names no Python object: \`${value}\``)
  // oxlint-disable-next-line no-control-regex -- finding control characters is the point
  if (name === '' || name === '.' || name === '..' || /[/\\\x00-\x1f\x7f]/.test(name))
    throw refuse(`not a name for a command: ${JSON.stringify(name)}`)
  return { name, module, attribute }
}
