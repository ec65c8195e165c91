import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { renderDiagnostic, type Diagnostic } from '../../src/core/diagnostic.ts'
import { isBuildError } from '../../src/core/errors.ts'
import { ConfigError } from '../../src/config/issue.ts'
import { loadConfig, parseConfig } from '../../src/config/load.ts'

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))))

async function project(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'config-'))
  folders.push(folder)
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), content)
  }
  return folder
}

function issuesOf(text: string): readonly Diagnostic[] {
  try {
    return parseConfig(text).warnings
  } catch (error) {
    if (error instanceof ConfigError) return error.issues
    throw error
  }
}

/** `severity code path line:column-endColumn` and the suggestion, one text an issue. */
function summary(text: string): readonly string[] {
  return issuesOf(text).map(
    ({ severity, code, path, line, column, endColumn, suggestion }) =>
      `${severity} ${code} ${path ?? ''} ${line}:${column}-${endColumn}${suggestion === undefined ? '' : ` -> ${suggestion}`}`,
  )
}

describe('parseConfig()', () => {
  it('applies every default to an empty file', () => {
    expect(parseConfig('').config).toEqual({
      build: {
        gpu: false,
        pythonPackages: [],
        systemPackages: [],
        run: [],
        base: 'auto',
        cudaFlavour: 'auto',
        debian: {},
        interpreter: { kind: 'auto' },
        platforms: ['linux/amd64'],
        targets: { architectures: [] },
        pythonIndex: { extraUrls: [], packages: {}, strategy: 'first-index' },
        extras: [],
        groups: [],
        systemSitePackages: false,
        bytecode: false,
        aptSources: [],
      },
      environment: [],
      weights: [],
      runtime: 'layerwright',
    })
  })

  it('takes every key', () => {
    const { config, warnings } = parseConfig(`
build:
  gpu: true
  cuda: "12.8"
  cudnn: 9
  python_version: 3.10
  python_requirements: requirements.txt
  system_packages: [ffmpeg, libgl1=1.6.0-1]
  run:
    - echo one
    - command: cat /run/key
      mounts: [{type: secret, id: key, target: /run/key}]
  cuda_flavour: runtime
  platforms: [linux/amd64, linux/arm64, linux/amd64]
  targets: {architectures: [sm_90, 8.0, "12.0", sm_120a], min_driver: 535}
  python_index:
    url: https://example.test/simple
    extra_urls: [https://other.test/simple]
    packages: {torch: https://wheels.test/cu128}
    strategy: unsafe-best-match
    exclude_newer: 2026-01-31
  interpreter: {url: "https://example.test/cpython.tar.gz", sha256: ${'a'.repeat(64)}}
  user: 1000
image: registry.test:5000/team/model:v1
run: predict.py:Predictor
train: train.py:train
environment:
  - GREETING=hello world
runtime: layerwright
`)
    expect(warnings).toEqual([])
    expect(config.build).toMatchObject({
      gpu: true,
      cuda: '12.8',
      cudnn: '9',
      pythonVersion: '3.10',
      run: [
        { command: 'echo one', mounts: [] },
        { command: 'cat /run/key', mounts: [{ type: 'secret', id: 'key', target: '/run/key' }] },
      ],
      platforms: ['linux/amd64', 'linux/arm64'],
      targets: { architectures: ['9.0', '8.0', '12.0', '12.0'], minDriver: '535' },
      interpreter: { kind: 'archive', url: 'https://example.test/cpython.tar.gz', sha256: 'a'.repeat(64) },
      user: '1000',
    })
    expect(config.build.pythonIndex).toEqual({
      url: 'https://example.test/simple',
      extraUrls: ['https://other.test/simple'],
      packages: { torch: 'https://wheels.test/cu128' },
      strategy: 'unsafe-best-match',
      excludeNewer: '2026-01-31',
    })
  })

  it('is the same as JSON and back', () => {
    const { config } = parseConfig('build: {gpu: true}\nrun: a.py:B\n')
    expect(JSON.parse(JSON.stringify(config))).toEqual(config)
  })

  it.each([
    ['3.10', '3.10'],
    ['"3.10"', '3.10'],
    ['3.14', '3.14'],
    ['3.12.1', '3.12.1'],
    ['!!str 3.10', '3.10'],
    ['&v 3.10', '3.10'],
  ])('reads the Python version %s as written', (written, version) => {
    expect(parseConfig(`build:\n  python_version: ${written}\n`).config.build.pythonVersion).toBe(version)
  })

  it.each([
    ['- A=a b', 'a b'],
    ['- A=', ''],
    ['- A=b=c', 'b=c'],
    [`- 'A="quoted" \\n'`, '"quoted" \\n'],
    ['- "A=two\\nlines"', 'two\nlines'],
    ['- |\n    A=one\n    two', 'one\ntwo\n'],
    ['- A=é 漢 🎈', 'é 漢 🎈'],
    ['- "A=#not a comment"', '#not a comment'],
    ['- A=$HOME ${X} `id`', '$HOME ${X} `id`'],
  ])('keeps the environment value of %j byte for byte', (entry, value) => {
    expect(parseConfig(`environment:\n  ${entry}\n`).config.environment).toEqual([{ name: 'A', value }])
  })

  it('reads nothing of a key at the top level that starts with x-, so that anchors have a place', () => {
    const { config, warnings } = parseConfig('x-common: &env [A=1]\nenvironment: *env\nx-y: {deep: [1]}\n')
    expect(config.environment).toEqual(parseConfig('environment: [A=1]\n').config.environment)
    expect(warnings).toEqual([])
    expect(() => parseConfig('build: {x-y: 1}')).toThrow('Unknown key in `build`: `x-y`')
  })

  it('shows no password of an address, neither in a message nor in the line', () => {
    try {
      parseConfig('build:\n  python_index: {url: "https://me:word-of-mine@h bad/"}')
      expect.unreachable()
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      const text = error.message + error.issues.map((issue) => renderDiagnostic(issue)).join('\n')
      expect(text).not.toContain('word-of-mine')
      expect(text).toContain('2 |   python_index: {url: "https://***************@h bad/"}')
    }
  })

  it('says in words of its own that a file is one document', () => {
    expect(() => parseConfig('image: a\n---\nimage: b')).toThrow('This is not YAML: A second document starts here')
  })

  it('takes the booleans of YAML 1.1 for gpu, as Cog does', () => {
    expect(parseConfig('build: {gpu: yes}').config.build.gpu).toBe(true)
    expect(parseConfig('build: {gpu: off}').config.build.gpu).toBe(false)
    expect(summary('build: {gpu: "maybe"}')).toEqual(['error wrong-type build.gpu 1:14-21'])
  })

  it('resolves aliases and merge keys, own keys first', () => {
    const { config } = parseConfig(
      'weights: []\nbuild: &b\n  <<: {gpu: true, python_version: 3.11}\n  python_version: &v 3.10\ntrain: a.py:b\n',
    )
    expect(config.build).toMatchObject({ gpu: true, pythonVersion: '3.10' })
  })

  it('treats keys with nothing behind them as not given', () => {
    expect(parseConfig('build:\nimage:\nenvironment:\n')).toEqual(parseConfig(''))
  })

  it('takes several packages in one entry, as apt-get does of Cog', () => {
    const { config } = parseConfig('build: {system_packages: ["libgl1  libglib2.0-0 ", git]}')
    expect(config.build.systemPackages).toEqual(['libgl1', 'libglib2.0-0', 'git'])
  })

  it('runs pre_install after run', () => {
    const { config } = parseConfig('build: {pre_install: [b], run: [a]}')
    expect(config.build.run.map((step) => step.command)).toEqual(['a', 'b'])
  })
})

describe('diagnostics', () => {
  it.each<readonly [string, string, readonly string[]]>([
    ['an unknown key', 'biuld: {}', ['error unknown-key biuld 1:1-6 -> build']],
    [
      'an unknown nested key',
      'build:\n  pyton_version: "3.11"\n',
      ['error unknown-key build.pyton_version 2:3-16 -> python_version'],
    ],
    ['a key at the wrong level', 'gpu: true', ['error unknown-key gpu 1:1-4']],
    ['a key far from any', 'zebra: 1', ['error unknown-key zebra 1:1-6']],
    ['__proto__', '__proto__: {gpu: true}', ['error unknown-key __proto__ 1:1-10']],
    ['a wrong type', 'build:\n  gpu: "true"\n', ['error wrong-type build.gpu 2:8-14']],
    ['text for a list', 'build:\n  system_packages: ffmpeg\n', ['error wrong-type build.system_packages 2:20-26']],
    ['a list for text', 'image: [a]', ['error wrong-type image 1:1-6']],
    ['a list for the file', '- a', ['error wrong-type  1:1-4']],
    ['a mapping as environment', 'environment:\n  A: b\n', ['error wrong-type environment 1:1-12']],
    [
      'a number in a list of text',
      'build: {system_packages: [1]}',
      ['error wrong-type build.system_packages[0] 1:27-28'],
    ],
    ['a bad value of a choice', 'build: {base: debain}', ['error invalid-value build.base 1:15-21 -> debian']],
    [
      'a bad platform',
      'build: {platforms: [linux/amd46]}',
      ['error invalid-value build.platforms[0] 1:21-32 -> linux/amd64'],
    ],
    [
      'a bad step',
      'build: {run: [{comand: x}]}',
      ['error missing-key build.run[0].command 1:15-26', 'error unknown-key build.run[0].comand 1:16-22 -> command'],
    ],
    ['a step of the wrong type', 'build: {run: [3]}', ['error wrong-type build.run[0] 1:15-16']],
    ['a missing key', 'weights: [{name: a, target: /w}]', ['error missing-key weights[0].source 1:11-32']],
    [
      'run and predict',
      'run: a.py:B\npredict: a.py:B',
      ['error exclusive-keys predict 2:1-8', 'warning deprecated-key predict 2:1-8'],
    ],
    ['image and model', 'image: a\nmodel: b', ['error exclusive-keys model 2:1-6']],
    [
      'packages twice',
      'build: {python_requirements: r.txt, python_packages: [a]}',
      ['error exclusive-keys build.python_packages 1:37-52', 'warning deprecated-key build.python_packages 1:37-52'],
    ],
    ['an upper-case image', 'image: Model', ['error invalid-reference image 1:8-13']],
    ['a model with a tag', 'model: r.test/a:v1', ['error invalid-reference model 1:8-19']],
    ['an old Python', 'build: {python_version: "3.9"}', ['error unsupported-version build.python_version 1:25-30']],
    [
      'keys that Cog removed',
      'build:\n  fast: true\n  cog_runtime: false\n  gpu: true\nfast: true\n',
      [
        'warning no-effect build.fast 2:3-7',
        'warning no-effect build.cog_runtime 3:3-14',
        'error unknown-key fast 5:1-5',
      ],
    ],
    ['a Python of one part', 'build: {python_version: 3}', ['error invalid-value build.python_version 1:25-26']],
    [
      'a reserved variable',
      'environment: ["PATH=/x", NVIDIA_VISIBLE_DEVICES=all]',
      ['error reserved-variable environment[0] 1:15-24', 'error reserved-variable environment[1] 1:26-52'],
    ],
    ['a variable given twice', 'environment: [A=1, A=2]', ['error duplicate-variable environment[1] 1:20-23']],
    [
      'a bad variable',
      'environment: [1A=1, "A"]',
      ['error invalid-value environment[0] 1:15-19', 'error invalid-value environment[1] 1:21-24'],
    ],
    ['cuda without gpu', 'build: {cuda: "12.4"}', ['warning no-effect build.cuda 1:9-13']],
    [
      'a debian package that is none',
      'build: {system_packages: ["ffmpeg Curl", Foo]}',
      ['error invalid-value build.system_packages[0] 1:27-40', 'error invalid-value build.system_packages[1] 1:42-45'],
    ],
    [
      'a mistaken package',
      'build: {python_packages: [sklearn==1.0]}',
      [
        'warning deprecated-key build.python_packages 1:9-24',
        'warning package-name build.python_packages[0] 1:27-39 -> scikit-learn',
      ],
    ],
    [
      'passwords in addresses',
      'build:\n  python_packages: ["a --extra-index-url=https://u:word-of-mine@h/"]\n  python_index: {url: "https://${X}@h/"}\n  run:\n    - git clone https://word-of-mine@h/x\n    - git clone ssh://git@h/x',
      [
        'warning deprecated-key build.python_packages 2:3-18',
        'warning secret-in-file build.python_packages[0] 2:21-68',
        'warning secret-in-file build.run[0] 5:7-41',
      ],
    ],
    ['a key twice', 'image: a\nimage: b', ['error duplicate-key  2:1-6']],
    ['a tag', 'image: !env NAME', ['error yaml-tag  1:13-17']],
    ['a tab', 'build:\n\tgpu: true', ['error yaml-syntax  2:1-2']],
    ['an unclosed quote', 'image: "a', ['error yaml-syntax  1:8-9']],
    ['a quote left open above other lines', 'build:\n  run:\n    - "a\nimage: b\n', ['error yaml-syntax  3:7-8']],
    ['two documents', 'image: a\n---\nimage: b', ['error yaml-syntax  2:1-4']],
    ['a list without its dash', 'build:\n  run:\n    "a"\n    "b"\n', ['error yaml-syntax  4:5-8']],
    ['an alias without an anchor', 'image: *x', ['error yaml-alias  1:8-10']],
    ['a key that is a list', '? [a]\n: b', ['error yaml-key  1:3-6']],
    [
      'an archive without components',
      'build: {apt_sources: [{url: "https://apt.test", suite: stable, key: "-----BEGIN PGP x"}]}',
      ['error missing-key build.apt_sources[0].suite 1:56-62'],
    ],
    [
      'a flat archive with components',
      'build: {apt_sources: [{url: "https://apt.test", suite: /, components: [main], key: "-----BEGIN PGP x"}]}',
      ['error exclusive-keys build.apt_sources[0].components 1:59-69'],
    ],
    [
      'an archive that is trusted without a key',
      'build: {apt_sources: [{url: "https://apt.test", suite: /, trusted: true}]}',
      ['error missing-key build.apt_sources[0].key 1:23-73', 'error unknown-key build.apt_sources[0].trusted 1:59-66'],
    ],
    [
      'an archive with credentials, outside of its address',
      'build: {apt_sources: [{url: "https://me:pw@apt.test", suite: ../x/, key: "-----BEGIN PGP x"}]}',
      [
        'error invalid-value build.apt_sources[0].url 1:29-53',
        'error invalid-value build.apt_sources[0].suite 1:62-67',
      ],
    ],
    [
      'packages of the base',
      'build: {system_site_packages: true}',
      ['error not-supported build.system_site_packages 1:9-29'],
    ],
    [
      'the lock of another tool',
      'build: {python_requirements: poetry.lock}',
      ['error not-supported build.python_requirements 1:9-28'],
    ],
    ["what Cog's server does not do", 'runtime: coglet\nbatch: {max_size: 4}', ['warning no-effect batch 2:1-6']],
    [
      'traces that say what nothing follows from',
      'observability: {config: t.py, traces: {sampler_arg: 0.10, trace_header_format: jaeger}}',
      [
        'warning no-effect observability.config 1:17-23',
        'warning no-effect observability.traces.sampler_arg 1:40-51',
        'warning no-effect observability.traces.trace_header_format 1:59-78',
      ],
    ],
    [
      'traces that cannot be',
      'observability: {config: t.txt, traces: {sampler: sometimes, sampler_arg: 2, trace_header: "a b"}}',
      [
        'error invalid-value observability.config 1:25-30',
        'error invalid-value observability.traces.sampler 1:50-59',
        'error invalid-value observability.traces.sampler_arg 1:74-75',
        'error invalid-value observability.traces.trace_header 1:91-96',
      ],
    ],
  ])('names %s', (_, text, expected) => {
    expect(summary(text)).toEqual(expected)
  })

  it('finds all problems in one pass, in the order of the file', () => {
    const text = `build:
  gpu: treu
  cuda: 9.1
  pyton_version: 3.12
  base: debain
environment:
  - PATH=/bin
  - A=1
  - A=2
predct: predict.py:Predictor
image: Foo
`
    expect(summary(text)).toEqual(
      [
        'error wrong-type build.gpu 2:8-12',
        'error unsupported-version build.cuda 3:9-12',
        'warning no-effect build.cuda 3:3-7',
        'error unknown-key build.pyton_version 4:3-16 -> python_version',
        'error invalid-value build.base 5:9-15 -> debian',
        'error reserved-variable environment[0] 7:5-14',
        'error duplicate-variable environment[2] 9:5-8',
        'error unknown-key predct 10:1-7 -> predict',
        'error invalid-reference image 11:8-11',
      ].toSorted(
        (a, b) =>
          Number(/ (\d+):/.exec(a)?.[1]) - Number(/ (\d+):/.exec(b)?.[1]) ||
          Number(/:(\d+)-/.exec(a)?.[1]) - Number(/:(\d+)-/.exec(b)?.[1]),
      ),
    )
  })

  it.each([
    ['build: {gpu: true, cuda: "10.2"}', /^Leave `cuda` out/],
    ['model: "infer.py:Model"', /^A class is named by `run`: `run: "infer.py:Model"`\.$/],
    ['weights: [{name: a, target: /w, source: weights/a.bin}]', /^Write a mapping with `uri`/],
  ])('tells what to write in place of what earlier versions of Cog took: %s', (text, hint) => {
    expect(issuesOf(text)[0]?.hint).toMatch(hint)
  })

  it('draws the line with a caret and the suggestion', () => {
    const [issue] = issuesOf('build:\n  pyton_version: "3.11"\n')
    expect(issue && renderDiagnostic(issue)).toBe(
      [
        'cog.yaml:2:3: error[unknown-key]: Unknown key in `build`: `pyton_version`',
        '  |',
        '2 |   pyton_version: "3.11"',
        '  |   ^^^^^^^^^^^^^ did you mean `python_version`?',
      ].join('\n'),
    )
  })

  it.each([
    ['build:\n  environment_variables: {A: b}\n', 'Use `environment` at the top level, with entries `NAME=value`.'],
    ['resources: []\n', 'Hardware is chosen where the image runs. Files to bring along are named under `weights`.'],
    ['build:\n  concurrency: {max: 1}\n', '`concurrency` belongs at the top level.'],
    ['gpu: true\n', '`gpu` belongs under `build`.'],
  ])('%j is told where it belongs', (text, hint) => {
    expect(issuesOf(text)).toMatchObject([{ code: 'unknown-key', hint }])
  })

  it('refuses an alias bomb quickly', () => {
    const lines = ['a: &a [x,x,x,x,x,x,x,x,x]']
    for (let i = 1; i < 12; i++) {
      const [name, below] = [String.fromCodePoint(97 + i), String.fromCodePoint(96 + i)]
      lines.push(`${name}: &${name} [${Array.from({ length: 9 }, () => `*${below}`).join(',')}]`)
    }
    expect(issuesOf(lines.join('\n')).map((issue) => issue.code)).toContain('yaml-size')
  })

  it('refuses an alias within its own anchor', () => {
    expect(issuesOf('build: &a\n  run: *a\n').map((issue) => issue.code)).toContain('yaml-alias')
  })
})

describe('loadConfig()', () => {
  it('finds the file above the folder it is given', async () => {
    const folder = await project({ 'cog.yaml': 'image: a\n', 'deep/er/x.py': '' })
    const loaded = await loadConfig(join(folder, 'deep/er'))
    expect(loaded).toMatchObject({ file: join(folder, 'cog.yaml'), projectFolder: folder, config: { image: 'a' } })
  })

  it('takes the path of the file itself, and another name', async () => {
    const folder = await project({ 'other.yaml': 'image: b\n' })
    expect((await loadConfig(join(folder, 'other.yaml'))).config.image).toBe('b')
    expect((await loadConfig(folder, { fileName: 'other.yaml' })).config.image).toBe('b')
  })

  it('takes no other file where the named one is not there', async () => {
    const folder = await project({ 'cog.yaml': 'image: a\n', 'other.yaml': 'image: b\n', 'deep/x.py': '' })
    expect((await loadConfig(join(folder, 'deep', 'other.yaml'))).file).toBe(join(folder, 'other.yaml'))
    await expect(loadConfig(join(folder, 'nowhere.yaml'))).rejects.toMatchObject({
      code: 'CONFIG_MISSING',
      message: `No nowhere.yaml in ${folder} or above it`,
    })
  })

  it('says where it looked when there is none', async () => {
    const folder = await project({})
    await expect(loadConfig(folder)).rejects.toSatisfy((error) => isBuildError(error, 'CONFIG_MISSING'))
  })

  it('names the files that are missing, with the nearest one', async () => {
    const folder = await project({
      'cog.yaml':
        'build:\n  python_requirements: requirement.txt\nrun: predcit.py:Predictor\ntrain: ../train.py:train\n',
      'requirements.txt': '',
      'predict.py': '',
    })
    const error: unknown = await loadConfig(folder).catch((error: unknown) => error)
    expect(
      error instanceof ConfigError && error.issues.map(({ code, path, suggestion }) => [code, path, suggestion]),
    ).toEqual([
      ['file-missing', 'build.python_requirements', 'requirements.txt'],
      ['file-missing', 'run', 'predict.py'],
      ['file-outside', 'train', undefined],
    ])
  })

  it('refuses a file that is not text', async () => {
    const folder = await project({ 'cog.yaml': Buffer.from([0xff, 0xfe, 0x00]) })
    await expect(loadConfig(folder)).rejects.toSatisfy((error) => isBuildError(error, 'CONFIG_INVALID'))
  })

  it('reads a file with a byte order mark and CRLF', async () => {
    const folder = await project({ 'cog.yaml': '\uFEFFimage: a\r\nbuild:\r\n  gpu: true\r\n' })
    expect((await loadConfig(folder)).config).toMatchObject({ image: 'a', build: { gpu: true } })
  })
})
