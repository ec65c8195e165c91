import { describe, expect, it } from 'vitest'
import { makeConfig } from '../../src/config/make-config.ts'
import { runTools } from '../../src/config/run-tools.ts'

describe('runTools()', () => {
  it.each<readonly [string, readonly string[]]>([
    ['curl -o /usr/local/bin/tool -L "https://example.com/tool" && chmod +x /usr/local/bin/tool', ['curl']],
    ['mkdir -p /a;wget -q https://example.com/a', ['wget']],
    ['VERSION=$(curl -s https://example.com/version) && echo "$VERSION"', ['curl']],
    ['pip install git+https://example.com/a/b.git@v1', ['git']],
    ['pip install "a @ git+https://example.com/a/b"', ['git']],
    ['pip install a@git+https://example.com/a/b', ['git']],
    ['git clone https://example.com/a.git && cd a && make install', ['git', 'build-essential']],
    ['tar -I xz -xf a.tar.xz | (cat)', ['xz-utils']],
    ['pip install pycurl wget-tool https://example.com/curl/git.zip', []],
    ['python -m pip install numpy', []],
  ])('of `%s`', (command, packages) => {
    expect(runTools([{ command, mounts: [] }])).toEqual(packages)
  })
})

describe('makeConfig()', () => {
  it('adds the programs that commands call to the packages, each once', () => {
    const { build } = makeConfig({
      build: { system_packages: ['ffmpeg', 'git'], run: ['curl https://example.com'], pre_install: ['git clone a'] },
    })
    expect(build.systemPackages).toEqual(['ffmpeg', 'git', 'curl'])
  })

  it('leaves a base of its own as it is', () => {
    const { build } = makeConfig({ build: { base_image: 'alpine:3', run: ['curl https://example.com'] } })
    expect(build.systemPackages).toEqual([])
  })
})
