import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import torch from '../../src/compat/tables/torch.json' with { type: 'json' }
import tensorflow from '../../src/compat/tables/tensorflow.json' with { type: 'json' }
import { CUDA_IMAGES } from '../../src/compat/images.ts'
import { compareVersions } from '../../src/compat/version.ts'
import { packageRoot } from '../../src/core/package-root.ts'

describe('the tables', () => {
  it('have no row twice', () => {
    const keys = [
      ...torch.map((row) => `${row.torch} ${row.cuda}`),
      ...tensorflow.map((row) => row.tensorflow),
      ...CUDA_IMAGES.map((row) => row.cuda),
    ]
    expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([])
  })

  it('are in the order of versions, so that the last match is the newest', () => {
    expect(tensorflow.toSorted((a, b) => compareVersions(a.tensorflow, b.tensorflow))).toEqual(tensorflow)
    for (const images of CUDA_IMAGES) expect(images.ubuntu.toSorted(compareVersions)).toEqual(images.ubuntu)
  })

  it('name indexes by the CUDA version that they are for', () => {
    const wrong = torch.filter(
      ({ cuda, index }) => index !== null && index !== (cuda === null ? 'cpu' : `cu${cuda.replace('.', '')}`),
    )
    expect(wrong).toEqual([])
  })
})

describe('tools/compat-torch.mjs', () => {
  it('prints the rows of releases that the table lacks', async () => {
    const pages: Readonly<Record<string, string>> = {
      '/whl/': '<a href="cpu/">cpu/</a><a href="cu130/">cu130/</a><a href="torch/">torch/</a>',
      '/whl/cpu/torch/':
        '<a href="x/torch-2.7.1%2Bcpu-cp312-cp312-manylinux_2_28_x86_64.whl#sha256=a">torch-2.7.1+cpu-cp312-cp312-manylinux_2_28_x86_64.whl</a>',
      '/whl/cu130/torch/': ['cp312', 'cp314']
        .map((tag) => `<a href="x/t-${tag}.whl">torch-2.99.0+cu130-${tag}-${tag}-manylinux_2_28_x86_64.whl</a>`)
        .join('\n'),
      '/whl/cu130/torchvision/': '<a href="v.whl">torchvision-0.99.0+cu130-cp312-cp312-manylinux_2_28_x86_64.whl</a>',
      '/whl/cu130/torchvision/v.whl.metadata':
        'Name: torchvision\nRequires-Dist: numpy\nRequires-Dist: torch==2.99.0\n',
    }
    const server = createServer((request, response) => {
      const page = pages[request.url ?? '']
      response.writeHead(page === undefined ? 404 : 200).end(page)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/whl/`
      const { stdout } = await promisify(execFile)(process.execPath, [
        join(packageRoot(), 'tools/compat-torch.mjs'),
        address,
      ])
      expect(
        stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as unknown),
      ).toEqual([
        {
          torch: '2.99.0',
          cuda: '13.0',
          index: 'cu130',
          torchvision: '0.99.0',
          torchaudio: '',
          pythons: ['3.12', '3.14'],
        },
      ])
    } finally {
      server.close()
    }
  })
})

describe('tools/compat-cuda.mjs', () => {
  it('prints versions of which every flavour is there, and releases that a known one has gained', async () => {
    const tags = (cuda: string, cudnn: string, ubuntu: string): string[] =>
      ['base', 'runtime', 'devel', `${cudnn}-runtime`, `${cudnn}-devel`].map(
        (flavour) => `${cuda}-${flavour}-ubuntu${ubuntu}`,
      )
    const [first] = CUDA_IMAGES
    const lines = [
      ...(first?.ubuntu ?? []).flatMap((ubuntu) => tags(first?.cuda ?? '', first?.cudnnTag ?? '', ubuntu)),
      ...tags('99.1.0', 'cudnn', '26.04'),
      ...tags('99.1.0', 'cudnn', '24.04'),
      '99.2.0-base-ubuntu26.04',
      '99.1.0-base-ubi9',
    ]
    const child = execFile(process.execPath, [join(packageRoot(), 'tools/compat-cuda.mjs')])
    child.stdin?.end(lines.join('\n'))
    let text = ''
    child.stdout?.on('data', (chunk: string) => void (text += chunk))
    await once(child, 'close')
    expect(text).toBe('{"cuda": "99.1.0", "cudnn": "9", "cudnnTag": "cudnn", "ubuntu": ["24.04", "26.04"]}\n')
  })
})

describe('tools/compat-tensorflow.mjs', () => {
  it('reads CUDA and cuDNN of a release from the extra of its wheel', async () => {
    const names = ['cp312', 'cp310'].map((tag) => `tensorflow-9.9.0-${tag}-${tag}-manylinux_2_17_x86_64.whl`)
    const files = [...names, 'tensorflow-2.20.0-cp312-cp312-manylinux_2_17_x86_64.whl', 'tensorflow-9.9.0.tar.gz']
    const metadata =
      "Requires-Dist: numpy\nRequires-Dist: nvidia-cuda-runtime-cu12<13.0,>=12.9.79; extra == 'and-cuda'\n" +
      "Requires-Dist: nvidia-cudnn-cu12<10.0,>=9.10.2.21; extra == 'and-cuda'\n"
    const server = createServer((request, response) => {
      const isPage = request.url === '/simple/tensorflow/'
      const page = JSON.stringify({ files: files.map((filename) => ({ filename, url: `/files/${filename}` })) })
      const isMetadata = request.url?.endsWith('.whl.metadata') === true
      response.writeHead(isPage || isMetadata ? 200 : 404).end(isPage ? page : metadata)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple/`
      const { stdout } = await promisify(execFile)(process.execPath, [
        join(packageRoot(), 'tools/compat-tensorflow.mjs'),
        address,
      ])
      expect(stdout).toBe('{"tensorflow": "9.9.0", "cuda": "12.9", "cudnn": "9.10", "pythons": ["3.10", "3.12"]}\n')
    } finally {
      server.close()
    }
  })
})
