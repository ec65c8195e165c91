import { parentPort } from 'node:worker_threads'
import { serveChecks } from './serve.ts'

if (parentPort !== null) serveChecks(parentPort)
