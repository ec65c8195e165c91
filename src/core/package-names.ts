import { nearest } from './suggest.ts'

/** Names under which a package is imported or once was published, and the one that is meant. */
const MISTAKEN: Readonly<Record<string, string>> = {
  attr: 'attrs',
  bs4: 'beautifulsoup4',
  crypto: 'pycryptodome',
  cv2: 'opencv-python-headless',
  dateutil: 'python-dateutil',
  dotenv: 'python-dotenv',
  faiss: 'faiss-cpu',
  fitz: 'pymupdf',
  'google-protobuf': 'protobuf',
  grpc: 'grpcio',
  huggingface: 'huggingface-hub',
  jwt: 'pyjwt',
  magic: 'python-magic',
  pil: 'pillow',
  pytorch: 'torch',
  serial: 'pyserial',
  skimage: 'scikit-image',
  sklearn: 'scikit-learn',
  'tensorflow-gpu': 'tensorflow',
  'torch-gpu': 'torch',
  'torch-vision': 'torchvision',
  umap: 'umap-learn',
  yaml: 'pyyaml',
}

/** Packages that models are often made of; a misspelt name is compared with these alone, without asking any index. */
const KNOWN = `
absl-py accelerate aiofiles aiohttp albumentations altair anthropic anyio apex asyncpg attrs audioread av awscli
basicsr bcrypt beautifulsoup4 bitsandbytes blinker blobfile boto3 botocore bottleneck
catboost certifi cffi chardet charset-normalizer chromadb click cloudpickle colorama compel contourpy controlnet-aux
cryptography ctranslate2 cupy-cuda11x cupy-cuda12x cython
dask databricks-sdk datasets decord deepdiff deepspeed diffusers dill diskcache dlib
easyocr editdistance einops encodec evaluate
facexlib fairscale faiss-cpu faiss-gpu faster-whisper fastapi fastparquet filelock fire flair flask flash-attn flax
fonttools fsspec ftfy
gdown gensim gfpgan gguf google-cloud-storage gradio graphviz groq grpcio gunicorn
h5py hf-transfer httpx huggingface-hub hydra-core
imageio imageio-ffmpeg imagehash imgaug insightface invisible-watermark ipython
jax jaxlib jinja2 jiwer joblib jsonschema jupyter
k-diffusion keras kornia
langchain lark librosa lightgbm lightning llama-cpp-python llvmlite lmdb loguru lpips lxml
markdown markupsafe matplotlib mediapipe mlflow mmcv mmengine more-itertools moviepy mpmath msgpack multidict
natsort nemo-toolkit networkx ninja nltk noisereduce numba numexpr numpy nvidia-ml-py
omegaconf onnx onnxruntime onnxruntime-gpu openai openai-whisper opencv-contrib-python opencv-python
opencv-python-headless open-clip-torch openpyxl optimum optuna orjson
packaging pandas paramiko peft pdf2image phonemizer pillow pip platformdirs plotly polars pooch prometheus-client
protobuf psutil psycopg2-binary pyannote-audio pyarrow pycocotools pycryptodome pydantic pydub pyjwt pymupdf pyopengl
pypdf pyserial pytesseract pytest python-dateutil python-dotenv python-magic python-multipart pytorch-lightning pytz
pywavelets pyyaml pyzmq
qdrant-client
ray realesrgan redis regex rembg replicate requests rich ruamel-yaml
sacrebleu safetensors scikit-image scikit-learn scipy seaborn segment-anything sentence-transformers sentencepiece
sentry-sdk setuptools shapely simsimd six soundfile sox spacy speechbrain sqlalchemy statsmodels streamlit supervision
sympy
tabulate tenacity tensorboard tensorflow tensorflow-hub tensorflow-probability tensorrt termcolor tflite-runtime
threadpoolctl tifffile tiktoken timm tokenizers toml torch torchaudio torchmetrics torchsde torchtext torchvision tqdm
transformers trimesh triton trl typer typing-extensions
ultralytics umap-learn unidecode urllib3 uvicorn uvloop
vllm
wandb watchdog websockets werkzeug wheel whisper
xformers xgboost
yacs yarl yt-dlp
zarr zstandard
`
  .trim()
  .split(/\s+/)

/**
 * The package that someone meant by a name that is none: by a known mistake, else by nearness to a well-known name.
 *
 * @param name  normalised, such as `sckit-learn`
 */
export function meantPackage(name: string): string | undefined {
  return mistakenPackage(name) ?? (KNOWN.includes(name) ? undefined : nearest(name, KNOWN))
}

/** The package that is meant by the name of a module or a former package. */
export function mistakenPackage(name: string): string | undefined {
  return Object.hasOwn(MISTAKEN, name) ? MISTAKEN[name] : undefined
}
