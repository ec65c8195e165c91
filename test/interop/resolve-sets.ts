/** A requirement set for the differential test; `python` and `platform` default to 3.11 on x86_64-manylinux_2_28. */
export interface ResolveSet {
  readonly name: string
  readonly requirements: readonly string[]
  readonly constraints?: readonly string[]
  readonly python?: string
  readonly platform?: string
  readonly pre?: boolean
}

/** Sets of our own making: machine learning and web, extras, markers, conflicts, old Pythons, other platforms. */
export const RESOLVE_SETS: readonly ResolveSet[] = [
  { name: 'transformers stack', requirements: ['torch', 'transformers', 'diffusers', 'accelerate'] },
  { name: 'vllm', requirements: ['vllm==0.10.2'] },
  { name: 'fastapi all', requirements: ['fastapi[all]'] },
  { name: 'fastapi with an old pydantic', requirements: ['fastapi', 'pydantic<2'] },
  { name: 'django', requirements: ['django>=4.2,<5', 'djangorestframework', 'celery[redis]', 'gunicorn'] },
  { name: 'flask', requirements: ['flask', 'flask-sqlalchemy', 'flask-migrate', 'psycopg2-binary'] },
  { name: 'langchain', requirements: ['langchain', 'langchain-community', 'chromadb', 'sentence-transformers'] },
  { name: 'tensorflow with CUDA', requirements: ['tensorflow[and-cuda]==2.19.0'] },
  { name: 'tensorflow on 3.9', requirements: ['tensorflow<2.16', 'numpy<2'], python: '3.9' },
  { name: 'jax with CUDA', requirements: ['jax[cuda12]==0.7.2'], python: '3.12' },
  { name: 'jax on arm', requirements: ['jax', 'flax', 'optax'], platform: 'aarch64-manylinux_2_28', python: '3.12' },
  { name: 'faster-whisper', requirements: ['faster-whisper==1.2.0'] },
  { name: 'bitsandbytes and peft', requirements: ['bitsandbytes', 'peft', 'trl', 'datasets'] },
  { name: 'gradio', requirements: ['gradio==5.44.0', 'huggingface-hub[cli]'] },
  { name: 'streamlit', requirements: ['streamlit', 'pandas<3', 'altair<6'] },
  { name: 'ultralytics', requirements: ['ultralytics', 'opencv-python-headless', 'supervision'] },
  { name: 'spacy', requirements: ['spacy==3.8.7'], python: '3.12' },
  { name: 'ray', requirements: ['ray[default,serve]'] },
  { name: 'boto3', requirements: ['boto3', 'botocore<1.40', 's3fs'] },
  { name: 'old numpy', requirements: ['numpy<1.24', 'pandas', 'scikit-learn', 'matplotlib'], python: '3.10' },
  { name: 'python 3.8', requirements: ['pandas', 'requests', 'scipy', 'pydantic'], python: '3.8' },
  { name: 'python 3.13', requirements: ['pandas', 'scikit-learn', 'xgboost', 'polars'], python: '3.13' },
  {
    name: 'markers',
    requirements: [
      'requests; python_version < "3.9"',
      'httpx[http2,socks]; sys_platform == "linux"',
      'tomli; python_version < "3.11"',
      'attrs',
    ],
    python: '3.10',
  },
  { name: 'musl', requirements: ['numpy', 'pydantic', 'uvicorn[standard]'], platform: 'x86_64-unknown-linux-musl' },
  { name: 'musl without wheels', requirements: ['torch==2.8.0'], platform: 'x86_64-unknown-linux-musl' },
  {
    name: 'arm web',
    requirements: ['uvicorn[standard]', 'orjson', 'cryptography', 'grpcio'],
    platform: 'aarch64-manylinux_2_28',
  },
  { name: 'old glibc', requirements: ['numpy', 'pandas', 'scipy'], platform: 'x86_64-manylinux_2_17' },
  {
    name: 'new glibc',
    requirements: ['pillow', 'lxml', 'shapely', 'pyarrow'],
    platform: 'x86_64-manylinux_2_39',
    python: '3.12',
  },
  { name: 'conflict on numpy', requirements: ['numpy<2', 'opencv-python>=4.12'] },
  { name: 'conflict on protobuf', requirements: ['tensorflow==2.15.0', 'protobuf>=6'] },
  { name: 'conflict on pydantic', requirements: ['openai>=1', 'pydantic<1.9'] },
  { name: 'no such version', requirements: ['requests>=99'] },
  { name: 'no such package', requirements: ['layerwright-no-such-package-exists'] },
  { name: 'too new for python', requirements: ['numpy>=2.3'], python: '3.10' },
  { name: 'sdist only', requirements: ['flash-attn==2.7.4'] },
  { name: 'pre-release', requirements: ['black>=25.0b1', 'pip-tools'], pre: true },
  { name: 'pinned pre-release', requirements: ['pydantic==2.12.0b1'] },
  { name: 'constraints', requirements: ['pandas', 'scikit-learn'], constraints: ['numpy<2', 'scipy<1.14', 'torch<2'] },
  { name: 'airflow', requirements: ['apache-airflow==2.10.5'], python: '3.12' },
  { name: 'mlflow', requirements: ['mlflow', 'scikit-learn<1.7'] },
  { name: 'dask', requirements: ['dask[complete]', 'distributed'] },
  { name: 'jupyter', requirements: ['jupyterlab', 'ipywidgets', 'notebook<7.4'] },
  { name: 'onnx', requirements: ['onnx', 'onnxruntime', 'onnxsim', 'optimum'] },
  {
    name: 'many extras',
    requirements: [
      'pydantic[email,timezone]',
      'passlib[bcrypt]',
      'sqlalchemy[asyncio,postgresql-asyncpg]',
      'uvicorn[standard]',
      'requests[socks]',
    ],
  },
  { name: 'compatible releases', requirements: ['Jinja2~=3.1.0', 'Werkzeug~=3.0', 'click~=8.1', 'Flask~=3.0.0'] },
]
