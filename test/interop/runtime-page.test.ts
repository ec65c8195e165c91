import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { access, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeModel } from '../../src/predictor/describe.ts'

// The page at /docs in a real browser: form, validation, streaming, files. The server runs from the source tree, in
// the virtual environment that runtime.test.ts makes.

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const python = process.env['LAYERWRIGHT_TEST_BASE_PYTHON'] ?? 'python3'
const browserPath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium'
const hasBrowser = await access(browserPath).then(
  () => true,
  () => false,
)
if (!hasBrowser && process.env['LAYERWRIGHT_INTEROP'] === 'required') throw new Error(`No browser: ${browserPath}`)

describe.skipIf(!hasBrowser)('the page at /docs (chromium)', () => {
  let folder: string
  let server: ChildProcess
  let browser: Browser
  let page: Page
  const foreign: string[] = []

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'page-'))
    await cp(path.join(root, 'test/interop/runtime-page'), folder, { recursive: true })
    const { openapi } = await describeModel({ projectFolder: folder, run: 'predict.py:Predictor' })
    await mkdir(path.join(folder, '.cog'))
    await writeFile(path.join(folder, '.cog/openapi_schema.json'), JSON.stringify(openapi))
    const venv = path.join(root, '.cache/venv-page')
    await run(python, ['-m', 'venv', venv])
    const requirements = path.join(root, 'python/requirements.in')
    await run(`${venv}/bin/python`, ['-m', 'pip', 'install', '--quiet', '-r', requirements])
    const { stdout: site } = await run(`${venv}/bin/python`, ['-c', 'import site; print(site.getsitepackages()[0])'])
    const port = await freePort()
    server = spawn(`${venv}/bin/python`, ['-I', '-S', path.join(root, 'python/launch.py'), '--host', '127.0.0.1'], {
      cwd: folder,
      env: {
        ...process.env,
        PORT: String(port),
        COG_PREDICT_TYPE_STUB: 'predict.py:Predictor',
        LAYERWRIGHT_SITE: site.trim(),
        LAYERWRIGHT_PYTHON: `${venv}/bin/python`,
      },
      stdio: 'ignore',
    })
    const base = `http://127.0.0.1:${port}`
    for (let tries = 0; ; tries++) {
      const answer = await fetch(`${base}/readyz`).catch(() => undefined)
      if (answer?.status === 200) break
      if (tries > 1800) throw new Error('The server is not ready')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    // Half a minute, which is usual, is short for a browser on a busy machine.
    browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox'], timeout: 300_000 })
    page = await browser.newPage()
    page.setDefaultTimeout(300_000)
    page.on('request', (request) => {
      if (!request.url().startsWith(base) && !request.url().startsWith('data:')) foreign.push(request.url())
    })
    await page.goto(`${base}/docs`)
    await page.waitForSelector('#run')
  })

  afterAll(async () => {
    await browser.close()
    server.kill()
    await rm(folder, { recursive: true })
  })

  it('shows a field for each input, and the state of the model', async () => {
    expect(await page.locator('.field label').allTextContents()).toEqual(['text *', 'times', 'style', 'file'])
    await expect.poll(() => page.locator('#state').textContent(), { timeout: 300_000 }).toBe('READY')
    expect(await page.locator('#input-times').inputValue()).toBe('2')
  })

  it('puts a validation error beside its field', async () => {
    await page.fill('#input-text', 'abc')
    await page.fill('#input-times', '99')
    await page.click('#run')
    // The page's own policy forbids strings as code, so what it shows is polled from here.
    const problem = page.locator('.field .error').nth(1)
    await expect.poll(() => problem.textContent(), { timeout: 300_000 }).toContain('less than or equal to 5')
  })

  it('runs a prediction with an uploaded file and shows the stream of its output and its logs', async () => {
    await page.fill('#input-times', '3')
    await page.selectOption('#input-style', { label: 'loud' })
    const buffer = Buffer.from('from a file')
    await page.setInputFiles('#input-file', { name: 'note.txt', mimeType: 'text/plain', buffer })
    await page.click('#run')
    await expect.poll(() => page.locator('#time').textContent(), { timeout: 300_000 }).toMatch(/ s$/)
    expect(await page.locator('#output').textContent()).toBe('ABC ABC ABC from a file')
    expect(await page.locator('#logs').textContent()).toContain('saying abc')
  })

  it('asks nobody else for anything', () => {
    expect(foreign).toEqual([])
  })
})

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}
