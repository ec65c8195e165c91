import { parentPort } from 'node:worker_threads'
import { serveUnpacking } from './serve.ts'

if (parentPort !== null) serveUnpacking(parentPort)
