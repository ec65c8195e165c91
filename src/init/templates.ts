/** The files of a new project by path. */
export type Template = Readonly<Record<string, string>>

/** Path of the JSON Schema that the first line of a new cog.yaml points editors to. */
export const SCHEMA_PATH = '.layerwright/cog-yaml.schema.json'

const HEAD = `# yaml-language-server: $schema=${SCHEMA_PATH}
# Every key: layerwright schema
`

const HELLO: Template = {
  'cog.yaml': `${HEAD}
build:
  python_version: "3.11"
  python_requirements: requirements.txt

run: predict.py:Predictor
`,
  'requirements.txt': `# One package a line, such as
# pillow==11.0.0
`,
  'predict.py': `from cog import BasePredictor, Input


class Predictor(BasePredictor):
    def setup(self) -> None:
        """Load the model, once, before the first prediction."""
        self.prefix = "hello"

    def predict(self, text: str = Input(description="Whom to greet", default="world")) -> str:
        """Run a single prediction."""
        return f"{self.prefix} {text}"
`,
}

const GPU: Template = {
  'cog.yaml': `${HEAD}
build:
  gpu: true
  python_version: "3.12"
  python_requirements: requirements.txt
  # CUDA follows from torch; \`layerwright plan\` says which, and why.

run: predict.py:Predictor
`,
  'requirements.txt': `torch==2.7.1
`,
  'predict.py': `import torch
from cog import BasePredictor, Input


class Predictor(BasePredictor):
    def setup(self) -> None:
        """Load the model, once, before the first prediction."""
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    @torch.inference_mode()
    def predict(self, size: int = Input(description="Side of the matrices", default=1024, ge=1, le=8192)) -> float:
        """Run a single prediction."""
        matrix = torch.rand(size, size, device=self.device)
        return (matrix @ matrix).mean().item()
`,
}

const STREAM: Template = {
  ...HELLO,
  'predict.py': `from cog import BasePredictor, ConcatenateIterator, Input, streaming


class Predictor(BasePredictor):
    @streaming
    def predict(self, text: str = Input(description="Text to repeat", default="one two three")) -> ConcatenateIterator[str]:
        """Yield the answer piece by piece."""
        for word in text.split():
            yield word + " "
`,
}

const TRAIN: Template = {
  ...HELLO,
  'cog.yaml': `${HELLO['cog.yaml'] ?? ''}train: train.py:train\n`,
  'train.py': `from cog import BaseModel, Input, Path


class TrainingOutput(BaseModel):
    weights: Path


def train(
    data: Path = Input(description="What to learn from"),
    epochs: int = Input(description="How often to go through it", default=3, ge=1),
) -> TrainingOutput:
    """Run a training and give back its weights."""
    weights = Path("weights.txt")
    weights.write_text(data.read_text() * epochs)
    return TrainingOutput(weights=weights)
`,
}

/** Templates by name; the first is the default. */
export const TEMPLATES: Readonly<Record<'hello' | 'gpu' | 'stream' | 'train', Template>> = {
  hello: HELLO,
  gpu: GPU,
  stream: STREAM,
  train: TRAIN,
}

/** What no image needs. */
export const DOCKER_IGNORE = `# What is left out of the image; the rules are Docker's.
.git
.github
.layerwright
.venv
venv
node_modules
**/__pycache__
**/*.pyc
.env
*.log
`
