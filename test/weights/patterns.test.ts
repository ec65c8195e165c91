import { expect, test } from 'vitest'
import { makeFilter } from '../../src/weights/patterns.ts'

const FILES = [
  'README.md',
  'config.json',
  'model-1.safetensors',
  'model-2.safetensors',
  'unet/config.json',
  'unet/model.bin',
  'unet/deep/model.bin',
  'weird[1].txt',
]

test.each([
  [[], [], FILES],
  [['*.safetensors'], [], ['model-1.safetensors', 'model-2.safetensors']],
  [['config.json'], [], ['config.json', 'unet/config.json']],
  [['/config.json'], [], ['config.json']],
  [['unet'], [], ['unet/config.json', 'unet/model.bin', 'unet/deep/model.bin']],
  [['unet/'], ['*.json'], ['unet/model.bin', 'unet/deep/model.bin']],
  [['unet/*.bin'], [], ['unet/model.bin']],
  [['unet/**/*.bin'], [], ['unet/model.bin', 'unet/deep/model.bin']],
  [['**/model.bin'], [], ['unet/model.bin', 'unet/deep/model.bin']],
  [['unet/**'], [], ['unet/config.json', 'unet/model.bin', 'unet/deep/model.bin']],
  [['model-?.safetensors'], ['model-1.*'], ['model-2.safetensors']],
  [['model-[2-9].safetensors'], [], ['model-2.safetensors']],
  [['model-[!2].safetensors'], [], ['model-1.safetensors']],
  [['model-[9-0].safetensors'], [], []],
  [['*'], ['*.md', 'unet', 'weird*'], ['config.json', 'model-1.safetensors', 'model-2.safetensors']],
  [['weird[[]1].txt'], [], ['weird[1].txt']],
  [['*.BIN'], [], []],
  [['a(b', '.*', '['], [], []],
] as const)('include %j and exclude %j', (include, exclude, expected) => {
  const isTaken = makeFilter(include, exclude)
  expect(FILES.filter(isTaken)).toEqual(expected)
})
