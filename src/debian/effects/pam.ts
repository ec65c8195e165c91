import type { System } from './system.ts'

/** A module's lines for one kind of service. */
interface Profile {
  readonly name: string
  readonly isDefault: boolean
  readonly priority: number
  readonly fields: ReadonlyMap<string, string>
}

const SERVICES = ['auth', 'account', 'password', 'session', 'session-noninteractive'] as const

/**
 * Makes `/etc/pam.d/common-*` of the profiles that packages bring, as `pam-auth-update --package` does on a system that was
 * never configured.
 *
 * @see pam-auth-update(8)
 */
export function pam(system: System): void {
  if (system.package('libpam-runtime') === undefined || system.base.has('etc/pam.d/common-auth')) return
  const profiles = [...system.find(/^usr\/share\/pam-configs\//)]
    .map((path) => parseProfile(path, system.readText(path) ?? ''))
    .filter((profile) => profile !== undefined)
    .sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1))
  const enabled = profiles.filter((profile) => profile.isDefault)
  for (const service of SERVICES) {
    const template = system.readText(`usr/share/pam/common-${service}`)
    if (template === undefined) continue
    const [type = service] = service.split('-')
    const primary = modules(enabled, type, 'Primary', service)
    const additional = modules(enabled, type, 'Additional', service)
    const content = template
      .replaceAll(
        `$${type}_primary`,
        primary.length > 0 ? lines(type, primary) : `${type}\t[default=1]\t\t\tpam_permit.so`,
      )
      .replaceAll(
        /\n?\$\w+_nonint_primary/g,
        primary.length > 0 ? `\n${lines(type, primary)}` : `\n${type}\t[default=1]\t\t\tpam_permit.so`,
      )
      .replaceAll(
        new RegExp(`\\n?\\$${type}(_nonint)?_additional`, 'g'),
        additional.length > 0 ? `\n${lines(type, additional)}` : '',
      )
    system.write(`etc/pam.d/common-${service}`, content)
    const state = [
      ...(primary.length === 0 ? [{ name: 'null', text: '[default=1]\t\t\tpam_permit.so' }] : primary),
      ...additional,
    ]
    system.write(`var/lib/pam/${service}`, state.map(({ name, text }) => `Module: ${name}\n${text}\n`).join(''))
  }
  system.write('var/lib/pam/seen', profiles.map(({ name }) => `${name}\n`).join(''))
}

interface Module {
  readonly name: string
  /** As the profile writes it, without the service's name. */
  readonly text: string
}

function modules(profiles: readonly Profile[], type: string, block: string, service: string): Module[] {
  const kind = type[0]?.toUpperCase() + type.slice(1)
  const chosen = profiles.filter(({ fields }) => {
    const isInteractiveOnly = fields.get('session-interactive-only') === 'yes'
    return fields.get(`${type}-type`) === block && !(service === 'session-noninteractive' && isInteractiveOnly)
  })
  return chosen.flatMap((profile, index) => {
    const text =
      (index === 0 ? profile.fields.get(`${kind.toLowerCase()}-initial`) : undefined) ?? profile.fields.get(type)
    return text === undefined ? [] : [{ name: profile.name, text }]
  })
}

// `end` in a profile means: skip what is left of the block.
function lines(type: string, all: readonly Module[]): string {
  const single = all.flatMap(({ text }) => text.split('\n'))
  return single
    .map((text, index) => {
      // pam-auth-update writes a blank between the module and its options, also when it has none.
      const options = /^(?:\[[^\]]*\]|\S+)\s+\S+$/.test(text) ? ' ' : ''
      return `${type}\t${text.replaceAll(/=end\b/g, `=${single.length - index}`)}${options}`
    })
    .join('\n')
}

function parseProfile(path: string, content: string): Profile | undefined {
  const fields = new Map<string, string>()
  let field = ''
  for (const line of content.split('\n')) {
    if (/^\s/.test(line)) {
      const before = fields.get(field)
      fields.set(field, before === undefined || before === '' ? line.trim() : `${before}\n${line.trim()}`)
      continue
    }
    const colon = line.indexOf(':')
    if (colon <= 0) continue
    field = line.slice(0, colon).toLowerCase()
    fields.set(field, line.slice(colon + 1).trim())
  }
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (!fields.has('name')) return undefined
  return { name, isDefault: fields.get('default') === 'yes', priority: Number(fields.get('priority') ?? 0), fields }
}
