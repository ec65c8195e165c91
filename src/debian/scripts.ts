import { ACCOUNT_PACKAGES } from './effects/accounts.ts'
import { COMPUTED, hasUnreadAlternatives } from './effects/alternatives.ts'

import { KNOWN } from './effects/known-packages.ts'

/** A maintainer script that was neither run nor stood in for. */
export interface UnhonouredScript {
  readonly package: string
  readonly script: 'preinst' | 'postinst'
  /** The first thing that it does and that nobody did. */
  readonly reason: string
}

/** Packages whose scripts are stood in for by an effect, or do nothing in an image; each was read. */
const HONOURED: ReadonlySet<string> = new Set([
  ...ACCOUNT_PACKAGES,
  ...Object.keys(COMPUTED),
  ...Object.keys(KNOWN),
  // Effects.
  'base-files',
  'base-passwd',
  'ca-certificates',
  'dash',
  'debianutils',
  'libc-bin',
  'libpam-modules',
  'libpam-runtime',
  'login',
  'login.defs',
  'passwd',
  'python3',
  'readline-common',
  'tzdata',
  // Checks before an upgrade, moves of files from older releases, timers and services that do not run in an image.
  'adduser',
  'apt',
  'bash',
  'coreutils',
  'debconf',
  'debian-archive-keyring',
  'dpkg',
  'e2fsprogs',
  'init-system-helpers',
  'libc6',
  'libpam0g',
  'libgcrypt20',
  'openssl',
  'perl-base',
  'tar',
  'usr-is-merged',
  'util-linux',
  'util-linux-extra',
  'mount',
  'sysvinit-utils',
  'libssl3',
  'libssl3t64',
  'systemd-standalone-sysusers',
  'gcc-12-base',
  'libtirpc-common',
  // They guard files that the archive of this release has moved, or ask other packages to be absent.
  'gzip',
  'libreadline8t64',
  'libgssapi-krb5-2',
  // Containers get their own /etc/hosts.
  'netbase',
  // Alternatives of other builds than the one that is installed, locales that nobody chose, modes that the files have.
  'libhdf5-dev',
  'locales',
  'procps',
  'sudo',
  'java-common',
  'libsensors5',
  // The cache is made on first use.
  'fontconfig',
  // They compile schemas of settings, which only desktop programs bring (the registration warns of them); modules are found without a cache.
  'libglib2.0-0',
  'libglib2.0-0t64',
])

/** Commands that change nothing in an image, or whose effect is computed elsewhere. */
const WITHOUT_EFFECT =
  /^(?:set|exit|rm|rmdir|return|shift|true|:|echo|printf|export|local|unset|umask|dpkg-maintscript-helper|deb-systemd-helper|deb-systemd-invoke|systemctl|systemd-tmpfiles|systemd-sysusers|update-rc\.d|invoke-rc\.d|service|py3compile|py3clean|pycompile|pypy3compile|chmod \+x "?\/etc\/init\.d\/|update-alternatives|ldconfig|dpkg-trigger|db_\w+|update-menus|update-icon-caches|update-desktop-database|update-mime-database|update-mime|udevadm|update-initramfs|continue|break|install-info|\.\s+\/usr\/share\/debconf\/confmodule|_dh_action=.*|command -v|which)\b/
const SYNTAX = /^(?:if|then|else|elif|fi|case|esac|for|while|do|done|\{|\}|;;|\w+\s*\(\)\s*\{?|\(?[\w"$*|. -]+\)|#.*|)$/

/** Tells whether all scripts of a package are known to be stood in for. */
export function isHonoured(packageName: string): boolean {
  return HONOURED.has(packageName) || /^(?:lib)?python3(?:\.\d+)?(?:-\w+)*$/.test(packageName)
}

/** What a script would do that nobody has done; undefined when nothing is left. */
export function unhonouredReason(packageName: string, script: string, architecture: string): string | undefined {
  if (isHonoured(packageName)) return undefined
  if (hasUnreadAlternatives(script, architecture)) return 'update-alternatives with names that are computed'
  return leftOver(script)
}

function leftOver(script: string): string | undefined {
  const text = script.replaceAll(/\\\n/g, ' ').replaceAll(/<<-?\s*['"]?(\w+)['"]?[\s\S]*?\n\s*\1\n/g, '\n')
  const withoutFunctions = text.replaceAll(/^\w+\s*\(\)\s*\{[\s\S]*?^\}/gm, '')
  for (const raw of withoutUpgradeBlocks(withoutFunctions.split('\n'))) {
    // The words that only steer are taken off, so that what they steer is looked at.
    const line = raw
      .replace(/(^|\s)#.*$/, '')
      .trim()
      .replace(/^(?:if|elif|while|!|then|else|do)\b.*?(?:;\s*then|;\s*do)?$/, (words) =>
        /^(?:then|else|do)\s+\S/.test(words) ? words.replace(/^\w+\s+/, '') : '',
      )
      .replace(/^[\w|*"'-]+\)\s*/, '')
      .replace(/\s*;;$/, '')
      .trim()
    if (line === '' || SYNTAX.test(line) || WITHOUT_EFFECT.test(line)) continue
    if (/^(?:for|case)\b/.test(line) || /^\w+=\S*$/.test(line) || /^[[(]/.test(line)) continue
    const words = line.replaceAll(/\s+/g, ' ')
    return words.length > 80 ? `${words.slice(0, 77)}...` : words
  }
  return undefined
}

/** Conditions that do not hold when a package is installed for the first time and no system runs. */
const NEVER =
  /\$1"? *=* *"?upgrade|compare-versions\b.*\$(?:2|\{2)|-n "\$2"|\/run\/systemd\/system|test "\$1" = upgrade/

function* withoutUpgradeBlocks(lines: readonly string[]): Generator<string> {
  let depth = 0
  for (const line of lines) {
    const opens = /^\s*if\b/.test(line) && !/;\s*fi\b/.test(line)
    if (depth > 0) {
      if (opens) depth++
      else if (/^\s*fi\b/.test(line)) depth--
      continue
    }
    const isCalled = /^\s*(?:if\s+)?(?:test|\[|dpkg)/.test(line) || opens
    if (opens && NEVER.test(line)) depth = 1
    else if (!(isCalled && NEVER.test(line))) yield line
  }
}

/** The scripts of a package that were not honoured. */
export function unhonouredScripts(
  packageName: string,
  controlFiles: ReadonlyMap<string, Buffer>,
  architecture: string,
): UnhonouredScript[] {
  return (['preinst', 'postinst'] as const).flatMap((script) => {
    const text = controlFiles.get(script)?.toString('utf8')
    const reason = text === undefined ? undefined : unhonouredReason(packageName, text, architecture)
    return reason === undefined ? [] : [{ package: packageName, script, reason }]
  })
}
