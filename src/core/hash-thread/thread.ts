import { parentPort } from 'node:worker_threads'
import { serveHashes } from './serve.ts'

if (parentPort !== null) serveHashes(parentPort)
