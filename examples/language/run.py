from collections.abc import Iterator
from typing import Optional

from cog import BaseModel, BaseRunner, Input, Path, streaming
from py3langid.langid import MODEL_FILE, LanguageIdentifier


class Line(BaseModel):
    language: str
    probability: float
    text: str


class Runner(BaseRunner):
    def setup(self) -> None:
        self.identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    @streaming
    def run(
        self,
        text: Optional[str] = Input(description="Text whose lines are looked at", default=None),
        file: Optional[Path] = Input(description="A text file in its place", default=None),
    ) -> Iterator[Line]:
        """Names the language of each line, as they come"""
        if (text is None) == (file is None):
            raise ValueError("Give either text or file")
        for line in (file.read_text() if text is None else text).splitlines():
            if line.strip():
                language, probability = self.identifier.classify(line)
                yield Line(language=language, probability=round(float(probability), 3), text=line)
