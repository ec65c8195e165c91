/** What is installed, from small to large. */
export const SETS: Readonly<Record<string, readonly string[]>> = {
  /** 0.2 GB of wheels. */
  mid: ['triton==3.4.0', 'numpy', 'pillow', 'fastapi', 'pydantic'],
  /** 1.5 GB of wheels. */
  half: ['nvidia-cublas-cu12', 'nvidia-cudnn-cu12', 'triton==3.4.0', 'numpy', 'pillow', 'fastapi', 'pydantic'],
  /** 3.9 GB of wheels: PyTorch with its CUDA libraries. */
  full: ['torch==2.8.0', 'numpy', 'pillow', 'fastapi', 'pydantic'],
}
