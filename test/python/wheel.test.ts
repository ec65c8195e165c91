import { describe, expect, test } from 'vitest'
import { openWheel } from '../../src/python/wheel.ts'
import { bytesAccess } from '../support/zip.ts'
import { makeWheel, type WheelInput } from '../support/wheel.ts'

const file = { name: 'demo/__init__.py', content: 'x = 1\n' } as const

async function open(input: WheelInput, filename?: string): Promise<Awaited<ReturnType<typeof openWheel>>> {
  const wheel = makeWheel({ files: [file], ...input })
  return openWheel(bytesAccess(wheel.bytes), filename ?? wheel.filename)
}

describe('openWheel()', () => {
  test('reads metadata, RECORD and entry points', async () => {
    const wheel = await open({
      metadata: { 'entry_points.txt': '[console_scripts]\ndemo = demo:main\n[other]\nx = y:z\n' },
    })
    expect(wheel.distInfo).toBe('demo-1.0.dist-info')
    expect(wheel.dataFolder).toBe('demo-1.0.data')
    expect(wheel.isPurelib).toBe(true)
    expect(wheel.entryPoints).toEqual([{ name: 'demo', module: 'demo', attribute: 'main' }])
    expect(wheel.record.get('demo/__init__.py')?.sizeBytes).toBe(6)
    expect(wheel.warnings).toEqual([])
  })

  test('takes a metadata folder whose name and version are written differently', async () => {
    const { bytes } = makeWheel({ name: 'My.Demo', version: '1.0.0', files: [file] })
    const wheel = await openWheel(bytesAccess(bytes), 'my_demo-1.0-py3-none-any.whl')
    expect(wheel.distInfo).toBe('My.Demo-1.0.0.dist-info')
  })

  test('warns of a newer minor version of the format', async () => {
    const wheel = await open({ metadata: { WHEEL: 'Wheel-Version: 1.9\nRoot-Is-Purelib: false\n' } })
    expect(wheel.warnings).toEqual(['demo-1.0-py3-none-any.whl has the newer wheel format 1.9'])
    expect(wheel.isPurelib).toBe(false)
  })

  const refused: Record<string, readonly [WheelInput, RegExp, string?]> = {
    'a newer major version': [{ metadata: { WHEEL: 'Wheel-Version: 2.0\nRoot-Is-Purelib: true\n' } }, /too new: 2\.0/],
    'no format version': [{ metadata: { WHEEL: 'Root-Is-Purelib: true\n' } }, /no Wheel-Version/],
    'no word on purelib': [{ metadata: { WHEEL: 'Wheel-Version: 1.0\n' } }, /no Root-Is-Purelib/],
    'no WHEEL': [{ metadata: { WHEEL: undefined } }, /WHEEL` is missing/],
    'no METADATA': [{ metadata: { METADATA: undefined } }, /METADATA` is missing/],
    'no RECORD': [{ metadata: { RECORD: undefined } }, /RECORD` is missing/],
    'METADATA of another package': [
      { metadata: { METADATA: 'Name: other\nVersion: 1.0\n' } },
      /names another package: `other 1\.0`/,
    ],
    'METADATA of another version': [{ metadata: { METADATA: 'Name: demo\nVersion: 2.0\n' } }, /names another package/],
    'another name than its file': [{}, /another name or version/, 'other-1.0-py3-none-any.whl'],
    'another version than its file': [{}, /another name or version/, 'demo-1.1-py3-none-any.whl'],
    'two metadata folders': [
      { files: [{ name: 'demo-2.0.dist-info/METADATA', content: 'Name: demo\n' }] },
      /more than one \.dist-info folder: demo-1\.0\.dist-info, demo-2\.0\.dist-info/,
    ],
    'a file that RECORD does not list': [
      { record: (rows) => rows.filter((row) => !row.startsWith('demo/')) },
      /`demo\/__init__\.py` is not listed/,
    ],
    'a file without a hash': [
      { record: (rows) => rows.map((row) => (row.startsWith('demo/') ? 'demo/__init__.py,,' : row)) },
      /`demo\/__init__\.py` has no hash/,
    ],
    'a file of another size than listed': [
      { record: (rows) => rows.map((row) => (row.startsWith('demo/') ? row.replace(/6$/, '7') : row)) },
      /`demo\/__init__\.py` has another size/,
    ],
    'a listed file that is not there': [
      { record: (rows) => [...rows, rows[0]?.replace('demo/__init__.py', 'demo/gone.py') ?? ''] },
      /`demo\/gone\.py` is listed but not there/,
    ],
    'a RECORD that climbs out': [
      { record: (rows) => [...rows, '../../etc/passwd,,'] },
      /RECORD line \d+: the path "\.\.\/\.\.\/etc\/passwd" leaves/,
    ],
  }
  for (const [name, [input, reason, filename]] of Object.entries(refused)) {
    test(`refuses ${name}`, async () => {
      await expect(open(input, filename)).rejects.toMatchObject({
        code: 'WHEEL_INVALID',
        message: expect.stringMatching(reason),
      })
    })
  }

  test('reports every problem of RECORD at once', async () => {
    const promise = open({ record: () => [] })
    await expect(promise).rejects.toThrow(/\(and 2 more\)/)
    await expect(promise).rejects.toMatchObject({ data: { problems: expect.objectContaining({ length: 3 }) } })
  })
})
