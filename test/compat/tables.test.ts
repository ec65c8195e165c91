import { execFile } from 'node:child_process'
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
