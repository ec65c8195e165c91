import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { buildkit } from './buildkit.ts'
import { run, sum, timed, type Cost } from './measure.ts'
import type { Peer, PeerContext, RunningPeer } from './peer.ts'

/** Whether a program can be called. */
export async function hasTool(name: string): Promise<boolean> {
  return run('which', [name]).then(
    () => true,
    () => false,
  )
}

/** `uv pip install --target`, tar, a compressor, `crane append`. */
function unpackAndPack(compressor: string, suffix: string): Peer {
  return {
    lacks: lacking((context) => [context.uv, context.crane, compressor.split(' ')[0] ?? '']),
    keeps: false,
    start: stateless(async ({ scratch, project, registry, index, uv, crane }, requirements) => {
      const root = path.join(scratch, 'root')
      const site = path.join(root, 'usr/local/lib/python3.11/dist-packages')
      const layer = path.join(scratch, `packages.tar.${suffix}`)
      const code = path.join(scratch, `code.tar.${suffix}`)
      const install = [uv, 'pip', 'install', '-q', '--target', site, '--index-url', index, ...uvTarget, ...requirements]
      return sum([
        await timed(install, { UV_CACHE_DIR: path.join(scratch, 'uv') }),
        await timed(['bash', '-c', `tar -C ${root} -cf - . | ${compressor} > ${layer}`]),
        await timed(['bash', '-c', `tar -C ${project} -cf - . | ${compressor} > ${code}`]),
        await timed(
          words(
            `${crane} append --insecure -b ${registry}/base/python:3.11 -f ${layer} -f ${code} -t ${registry}/peer/app:1`,
          ),
        ),
      ])
    }),
  }
}

const uvTarget = ['--python-version', '3.11', '--python-platform', 'x86_64-manylinux_2_28']

/** buildah with a package installer inside, as root and without a network of its own. */
function buildah(installer: 'pip' | 'uv'): Peer {
  const program = ({ scratch }: PeerContext): string =>
    `buildah --root ${path.join(scratch, 'containers')} --runroot ${path.join(scratch, 'run')}`
  return {
    lacks: lacking(({ uv }) => (installer === 'uv' ? ['buildah', uv] : ['buildah'])),
    keeps: true,
    start: stateless(async (context, requirements) => {
      const { scratch, project, registry, index } = context
      const packages = requirements.join(' ')
      const command =
        installer === 'pip'
          ? `pip install --break-system-packages --no-cache-dir --no-compile -q --index-url ${index} ${packages}`
          : `/uv pip install --system --break-system-packages --no-cache -q --index-url ${index} ${packages}`
      const file = path.join(scratch, 'Containerfile')
      await writeFile(file, `FROM ${registry}/base/python:3.11\nRUN ${command}\nCOPY . /src\n`)
      const image = `${registry}/peer/app:1`
      const uvMount = installer === 'uv' ? `-v ${await realPath(context.uv)}:/uv:ro` : ''
      const settings = `-q --isolation chroot --layers --network host --tls-verify=false ${uvMount}`
      return sum([
        await timed(words(`${program(context)} build ${settings} -f ${file} -t ${image} ${project}`)),
        await timed(words(`${program(context)} push -q --tls-verify=false ${image}`)),
      ])
    }),
  }
}

/** A peer without a daemon: what it keeps lies in its folder. */
function stateless(
  build: (context: PeerContext, requirements: readonly string[]) => Promise<Cost>,
): (context: PeerContext) => Promise<RunningPeer> {
  return async (context) => ({ build: (requirements) => build(context, requirements), close: async () => {} })
}

/** A command line whose words have no spaces in them. */
function words(line: string): string[] {
  return line.split(' ').filter((word) => word !== '')
}

/** Every peer by its name in the table. */
export const peers: Readonly<Record<string, Peer>> = {
  'uv+tar+pigz+crane': unpackAndPack('pigz -6 -p 2', 'gz'),
  'uv+tar+gzip+crane': unpackAndPack('gzip -6', 'gz'),
  'uv+tar+zstd+crane': unpackAndPack('zstd -q -3 -T2', 'zst'),
  'buildah+uv': buildah('uv'),
  'buildah+pip': buildah('pip'),
  'buildkit+uv+gzip': buildkit('gzip', 'as it is'),
  'buildkit+uv+zstd': buildkit('zstd', 'as it is'),
  'buildkit-rootless+uv+gzip': buildkit('gzip', 'rootless'),
  'buildkit-rootless+uv+zstd': buildkit('zstd', 'rootless'),
}

/** Those that are compared where nobody picks: BuildKit as it is usually run without root, and all others. */
export const NAMED_PEERS: readonly string[] = Object.keys(peers).filter((name) => !name.startsWith('buildkit+'))

function lacking(needed: (context: PeerContext) => readonly string[]): Peer['lacks'] {
  return async (context) => {
    for (const name of needed(context)) if (!(await context.hasTool(name))) return name
    return undefined
  }
}

async function realPath(program: string): Promise<string> {
  return path.resolve((await run('which', [program])).trim())
}
