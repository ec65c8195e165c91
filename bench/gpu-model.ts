/**
 * Does an image that holds torch with its CUDA libraries use the GPU of this machine, and what does it answer when something
 * goes wrong?
 *
 * Builds a model with torch, with and without `build.bytecode`, and measures starts and first predictions of both; asks for too
 * much memory of the GPU, kills the model's process, and names a GPU that does not exist. A second
 * model that reads 0.8 GB of weights for each step is asked one by one and in batches, over HTTP and through a queue.
 * Prints JSON; each step is reported as it ends, and one that fails does not stop the others. Ends with status 1 when one failed.
 *
 * Needs a built program (`npm run build`), and 25 GB of disk; redis-server for the queue. Node 22.18 or newer runs this file:
 * `node bench/gpu-model.ts [--torch 2.11.0] [--python 3.12] [--base oci:FOLDER] [--index URL] [--cuda 13.0] [--runtime crun]`.
 * Without `--base` Debian is composed, without `--index` torch comes from the public one. `--only build,memory` takes these steps
 * alone; `--gpus none` tries the way itself on a machine without a GPU.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { freePort } from '../test/support/docker-registry.ts'
import { cudaProcesses, describeCard, freed, usedMegabytes } from './gpu/card.ts'
import { writeProject, type ProjectOptions } from './gpu/project.ts'
import { isInstalled, predict, ready, secondsSince, serveModel } from './gpu/server.ts'
import { fromQueue, overHttp } from './gpu/throughput.ts'

const run = promisify(execFile)
const program = path.join(fileURLToPath(new URL('..', import.meta.url)), 'bin/layerwright.mjs')
const { values } = parseArgs({
  options: {
    torch: { type: 'string', default: '2.11.0' },
    python: { type: 'string', default: '3.12' },
    base: { type: 'string' },
    index: { type: 'string' },
    cuda: { type: 'string' },
    runtime: { type: 'string' },
    gpus: { type: 'string', default: 'all' },
    scratch: { type: 'string', default: tmpdir() },
    only: { type: 'string' },
  },
})
const wanted = values.only?.split(',')
const hasGpu = values.gpus !== 'none'
const folder = await mkdtemp(path.join(values.scratch, 'gpu-model-'))
const env = { ...process.env, LAYERWRIGHT_CACHE: path.join(folder, 'store') }
const runArgs = [...(values.runtime === undefined ? [] : ['--runtime', values.runtime]), '--gpus', values.gpus, '-q']
const results: Record<string, unknown> = { card: await describeCard(), cpus: cpus().length, node: process.version }

try {
  await step('build', () => build('model', 'plain'))
  await step('buildWithBytecode', () => build('model', 'compiled', { hasBytecode: true }))
  await step('buildBatched', () => build('batched', 'batched'))
  await step('architectures', async () => ({
    known: await build('model', 'known', { architectures: ['9.0'] }),
    dropped: await refused(build('model', 'dropped', { architectures: ['7.0'] })),
    unknown: await refused(build('model', 'unknown', { architectures: ['11.0'] })),
  }))
  // The first unpacks what no build step has unpacked.
  await step('firstPredict', () => predicted(image('plain')))
  await step('predict', () => predicted(image('plain')))
  await step('firstPredictCompiled', () => predicted(image('compiled')))
  await step('predictCompiled', () => predicted(image('compiled')))
  await step('check', () => output(['check', image('plain'), ...runArgs, '--target', 'kserve'], [0, 1]))
  await step('driver', () => output(['exec', ...runArgs, '--image', image('plain'), '--', 'nvidia-smi', '-L']))
  await step('starts', async () => ({ plain: await starts(image('plain')), compiled: await starts(image('compiled')) }))
  if (hasGpu) {
    await step('memory', memory)
    await step('killed', killed)
    await step('first', () => predicted(image('plain'), ['--gpus', '0']))
    await step('eighth', () => refused(predicted(image('plain'), ['--gpus', '7'])))
    await step('none', () => predicted(image('plain'), ['--gpus', 'none']))
    await step('byItself', () => output(['predict', image('plain'), '-q']))
  }
  for (const size of [1, 8, 32]) await step(`batchesOf${size}`, () => batches(size))
} finally {
  await rm(folder, { recursive: true, force: true })
}
console.log(JSON.stringify(results, undefined, 2))

async function step(name: string, act: () => Promise<unknown>): Promise<void> {
  if (wanted !== undefined && !wanted.includes(name)) return
  const began = performance.now()
  try {
    results[name] = await act()
  } catch (error) {
    const { stderr } = error as { stderr?: string }
    results[name] = { failed: stderr ?? String(error) }
    process.exitCode = 1
  }
  console.error(`${name} (${secondsSince(began)} s): ${JSON.stringify(results[name])}`)
}

function image(name: string): string {
  return `oci:${folder}/images/${name}:v1`
}

/** What a command prints, which may end with one of these statuses. */
async function output(args: readonly string[], statuses: readonly number[] = [0]): Promise<unknown> {
  try {
    const { stdout } = await run(process.execPath, [program, ...args], { env, maxBuffer: 64 << 20 })
    return stdout.trim()
  } catch (error) {
    const { code, stdout } = error as { code?: number; stdout?: string }
    if (code === undefined || !statuses.includes(code)) throw error
    return stdout?.trim()
  }
}

/** What a command says that has to fail. */
async function refused(attempt: Promise<unknown>): Promise<unknown> {
  const answer = await attempt.catch((error: Error & { stderr?: string }) => ({
    message: error.stderr?.trim() ?? error.message,
  }))
  if (answer !== null && typeof answer === 'object' && 'message' in answer) return answer.message
  throw new Error(`nothing was refused: ${JSON.stringify(answer)}`)
}

async function build(model: string, name: string, more: Partial<ProjectOptions> = {}): Promise<{ seconds: number }> {
  const project = await writeProject(path.join(folder, name), model, { ...values, ...more })
  const began = performance.now()
  await output(['build', project, '-q', '-o', image(name)])
  return { seconds: secondsSince(began) }
}

async function predicted(from: string, more: readonly string[] = []): Promise<object> {
  const began = performance.now()
  return { answer: await output(['predict', from, ...runArgs, ...more]), seconds: secondsSince(began) }
}

/** How long until the model is set up, until its first answer, and what a further one takes. */
async function starts(from: string): Promise<object> {
  const server = await serveModel(program, [from, ...runArgs], env)
  try {
    const ask = async (): Promise<number> => {
      const began = performance.now()
      const { status, error } = await predict(server.port, { size: 4096 })
      if (status !== 'succeeded') throw new Error(error)
      return secondsSince(began)
    }
    return { readySeconds: server.startSeconds, firstSeconds: await ask(), nextSeconds: await ask() }
  } finally {
    await server.close()
  }
}

/** More memory than there is fails one prediction; all of it is free again when the server has ended. */
async function memory(): Promise<object> {
  const before = await usedMegabytes()
  const server = await serveModel(program, [image('plain'), ...runArgs], env)
  const running = await usedMegabytes()
  const starved = await predict(server.port, { gigabytes: 4096 })
  const after = await predict(server.port, {})
  await server.close()
  if (starved.status !== 'failed' || after.status !== 'succeeded') throw new Error(JSON.stringify({ starved, after }))
  return { before, running, starved: starved.error, after: after.status, freedSeconds: await freed(before) }
}

/** A model whose process is killed in a prediction gives the GPU back, and the server goes on with another. */
async function killed(): Promise<object> {
  const before = await usedMegabytes()
  const server = await serveModel(program, [image('plain'), ...runArgs], env)
  try {
    const pids = await cudaProcesses()
    const running = await usedMegabytes()
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    const began = performance.now()
    const freedSeconds = await freed(before)
    await ready(server.port)
    const readySeconds = secondsSince(began)
    const after = await predict(server.port, {})
    return { pids: pids.length, before, running, freedSeconds, readySeconds, after: after.status, error: after.error }
  } finally {
    await server.close()
  }
}

/** Predictions in a second when so many may go into one call, over HTTP from 64 clients and from a queue. */
async function batches(size: number): Promise<object> {
  const redis = (await isInstalled('redis-server')) ? await freePort() : undefined
  const args = ['--bind', '127.0.0.1', '--dir', folder, '--save', '', '--port', String(redis)]
  const server = redis === undefined ? undefined : spawn('redis-server', args, { stdio: 'ignore' })
  const url = `redis://127.0.0.1:${redis}/0`
  const variables = [`LAYERWRIGHT_BATCH_SIZE=${size}`, ...(redis === undefined ? [] : [`LAYERWRIGHT_QUEUE=${url}`])]
  try {
    const more = variables.flatMap((variable) => ['-e', variable])
    const model = await serveModel(program, [image('batched'), ...runArgs, ...more], env)
    try {
      const isBatch = size > 1
      const jobs = hasGpu ? (isBatch ? 2000 : 300) : 20
      await overHttp(model.port, 4, 1, isBatch)
      const http = await overHttp(model.port, 64, 4, isBatch)
      return { http, queue: redis === undefined ? 'no redis-server' : await fromQueue(url, jobs, isBatch) }
    } finally {
      await model.close()
    }
  } finally {
    server?.kill()
  }
}
