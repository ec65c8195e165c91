import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rootCertificates } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { namedAuthorities, trustedAuthorities } from '../../../src/core/net/tls.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/tls/${name}`, import.meta.url))
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^]+-----END CERTIFICATE-----/

let folder: string
let own: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'authorities-'))
  own = CERTIFICATE.exec(await readFile(fixture('ca.crt'), 'utf8'))?.[0] ?? ''
  await mkdir(join(folder, 'certs'))
  await copyFile(fixture('ca.crt'), join(folder, 'certs', 'company.pem'))
  await copyFile(fixture('ca.key'), join(folder, 'certs', 'key.pem'))
  await mkdir(join(folder, 'certs', 'more'))
  if (process.platform !== 'win32') {
    await symlink('company.pem', join(folder, 'certs', '0a1b2c3d.0'))
    await symlink('absent.pem', join(folder, 'certs', '11111111.0'))
  }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('namedAuthorities()', () => {
  test('reads files and folders, each certificate of folders once', () => {
    const folders = ['', join(folder, 'absent'), join(folder, 'certs')].join(delimiter)
    expect(
      namedAuthorities({ SSL_CERT_FILE: fixture('ca.crt'), SSL_CERT_DIR: folders, NODE_EXTRA_CA_CERTS: '' }),
    ).toEqual({ file: [own], folders: [own], extra: undefined })
  })

  test.each(['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'])('refuses a file in %s that is of no use', async (variable) => {
    const read = (path: string) => () => namedAuthorities({ [variable]: path })
    const write = async (name: string, text: string): Promise<string> => {
      await writeFile(join(folder, name), text)
      return join(folder, name)
    }
    const cut = await write('cut.pem', own.replace(/\n[^]+\n/, '\nAAAA\n'))
    for (const path of [fixture('ca.key'), await write('empty.pem', ''), cut])
      expect(read(path), path).toThrowError(
        expect.objectContaining({
          code: 'CONFIG_INVALID',
          message: `The file that ${variable} names holds no certificate: \`${path}\``,
          hint: expect.stringContaining('PEM'),
        }),
      )
    expect(read(join(folder, 'absent'))).toThrowError(expect.objectContaining({ code: 'FILE_UNREADABLE' }))
    // One of many that is damaged does not take the others away.
    expect(
      namedAuthorities({ [variable]: await write('both.pem', `${own.replace(/\n[^]+\n/, '\nAAAA\n')}\n${own}`) }),
    ).toBeTruthy()
  })

  test('refuses folders without a certificate', () => {
    const folders = [join(folder, 'absent'), join(folder, 'certs', 'more')].join(delimiter)
    expect(() => namedAuthorities({ SSL_CERT_DIR: folders })).toThrowError(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: `The folders that SSL_CERT_DIR names hold no certificate: \`${folders}\``,
      }),
    )
  })
})

test('trustedAuthorities() leaves out what Node trusts already', async () => {
  const path = join(folder, 'whole.pem')
  await writeFile(path, [...rootCertificates, own].join('\n'))
  expect(trustedAuthorities({ SSL_CERT_FILE: path })).toEqual([own])
})
