/**
 * Packages that held nothing and only brought another one, until newer releases dropped them: what they brought is the same
 * to whoever asks for them.
 */
const TRANSITIONAL: Readonly<Record<string, string>> = {
  'libgl1-mesa-glx': 'libgl1',
  'libegl1-mesa': 'libegl1',
  'libgles2-mesa': 'libgles2',
  'libav-tools': 'ffmpeg',
}

/**
 * Packages that older projects name and newer releases do not have, with what took their place (release notes of Debian 12 and 13
 * and of Ubuntu 24.04).
 */
const RENAMED: Readonly<Record<string, readonly string[]>> = {
  netcat: ['netcat-openbsd'],
  'python-dev': ['python3-dev'],
  'python-pip': ['python3-pip'],
  'python3-distutils': ['python3-setuptools'],
  'qt5-default': ['qtbase5-dev'],
  libasound2: ['libasound2t64'],
  libncurses5: ['libncurses6'],
  libtinfo5: ['libtinfo6'],
  'libssl1.1': ['libssl3t64', 'libssl3'],
  libtiff5: ['libtiff6'],
  'libjpeg62-turbo-dev': ['libjpeg-dev'],
}

/** What a package that an archive lacks would bring, if it were there and empty. */
export function broughtBy(name: string): string | undefined {
  return TRANSITIONAL[name]
}

/** What a package that an archive lacks is called there, as far as it is known. */
export function newName(name: string, has: (name: string) => boolean): string | undefined {
  return RENAMED[name]?.find(has)
}
