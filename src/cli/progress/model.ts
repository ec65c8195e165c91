import type { ProgressEvent } from '../../core/progress.ts'

/** A task as a renderer needs it. */
export interface TaskState {
  readonly id: string
  readonly name: string
  readonly parent: string | undefined
  readonly startedAt: number
  bytes: number
  totalBytes: number | undefined
  endedAt: number | undefined
  outcome: 'done' | 'cached' | 'failed' | 'skipped' | undefined
  detail: string | undefined
}

/** Keeps the state of all tasks from the events; shared by every renderer, so that they agree. */
export class TaskModel {
  readonly #tasks = new Map<string, TaskState>()

  /** Takes one event in. Gives the task that it is about. */
  apply(event: ProgressEvent, now: number): TaskState | undefined {
    switch (event.type) {
      case 'start': {
        const task: TaskState = {
          id: event.id,
          name: event.name,
          parent: event.parent,
          startedAt: now,
          bytes: 0,
          totalBytes: event.totalBytes,
          endedAt: undefined,
          outcome: undefined,
          detail: undefined,
        }
        this.#tasks.set(event.id, task)
        return task
      }
      case 'bytes': {
        const task = this.#tasks.get(event.id)
        if (task === undefined) return undefined
        task.bytes = event.bytes
        task.totalBytes = event.totalBytes ?? task.totalBytes
        return task
      }
      case 'end': {
        const task = this.#tasks.get(event.id)
        if (task === undefined) return undefined
        task.endedAt = now
        task.outcome = event.outcome
        task.detail = event.detail
        this.#tasks.delete(event.id)
        return task
      }
      case 'output':
      case 'note':
      case 'spent':
      case 'timings':
        return undefined
    }
  }

  /** Tasks that have started and not ended, oldest first. */
  running(): TaskState[] {
    return [...this.#tasks.values()]
  }
}
