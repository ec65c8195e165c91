const synthetic = /^synthetic:(\d+):(\d+(?:\.\d+)?)$/

/** What is installed, from small to large. */
const SETS: Readonly<Record<string, readonly string[]>> = {
  /** 0.2 GB of wheels. */
  mid: ['triton==3.4.0', 'numpy', 'pillow', 'fastapi', 'pydantic'],
  /** 1.5 GB of wheels. */
  half: ['nvidia-cublas-cu12', 'nvidia-cudnn-cu12', 'triton==3.4.0', 'numpy', 'pillow', 'fastapi', 'pydantic'],
  /** 3.9 GB of wheels: PyTorch with its CUDA libraries. */
  full: ['torch==2.8.0', 'numpy', 'pillow', 'fastapi', 'pydantic'],
}

/** The requirements of a set; `synthetic:N:MB` is N made-up packages of MB megabytes together. */
export function requirementsOf(set: string): readonly string[] {
  const count = synthetic.exec(set)?.[1]
  if (count !== undefined)
    return Array.from({ length: Number(count) }, (_, n) => `syn-${String(n + 1).padStart(4, '0')}`)
  const names = SETS[set]
  if (names === undefined)
    throw new TypeError(`There is no set ${set}: ${Object.keys(SETS).join(', ')}, synthetic:COUNT:MEGABYTES`)
  return names
}

/** What an index has to serve beside the folders of wheels. */
export function servedFor(set: string): readonly string[] {
  return synthetic.test(set) ? [set] : []
}
