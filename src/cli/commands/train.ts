import type { Command } from '../command.ts'
import { definePredict, runPrediction } from './predict.ts'

/** `layerwright train`: one training; what it gives is written to `weights` unless said otherwise. */
export const command: Command = {
  define: (program) => definePredict(program, 'where the weights go: a file, or a folder; `weights` unless given'),
  run: ([image], options, io) => runPrediction('training', image, options as never, io),
}
