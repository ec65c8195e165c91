const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

/** Bytes in decimal units with three digits at most: `0 B`, `12.3 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1
  return `${value.toFixed(digits)} ${UNITS[unit]}`
}

/** A duration as people say it: `0.4s`, `12s`, `3m 05s`, `1h 02m`. */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole}s`
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${String(whole % 60).padStart(2, '0')}s`
  return `${Math.floor(whole / 3600)}h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')}m`
}

/** Text as one line: a command of several lines reads as one, and nothing of it moves the cursor. */
export function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- what steers a terminal is what is taken out
  return text.replaceAll(/[\s\u0000-\u001f\u007f-\u009f]+/g, ' ').trim()
}

/** Cuts a line to a width, marking the cut. */
export function truncate(line: string, width: number): string {
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`
}
