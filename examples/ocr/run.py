import tempfile
from typing import Optional

import cv2
import numpy as np
from cog import BaseModel, BaseRunner, Input, Path
from rapidocr_onnxruntime import RapidOCR


class Line(BaseModel):
    text: str
    score: float
    box: list[list[float]]


class Output(BaseModel):
    lines: list[Line]
    annotated: Optional[Path]


class Runner(BaseRunner):
    def setup(self) -> None:
        self.engine = RapidOCR()

    def run(
        self,
        image: Path = Input(description="Picture with text"),
        min_score: float = Input(description="Leave out lines that are less certain", default=0.5, ge=0, le=1),
        annotate: bool = Input(description="Give back the picture with a box around each line", default=False),
    ) -> Output:
        found, _ = self.engine(str(image))
        lines = [Line(text=text, score=float(score), box=box) for box, text, score in found or []]
        lines = [line for line in lines if line.score >= min_score]
        return Output(lines=lines, annotated=self.draw(image, lines) if annotate else None)

    def draw(self, image: Path, lines: list[Line]) -> Path:
        picture = cv2.imread(str(image))
        for line in lines:
            cv2.polylines(picture, [np.array(line.box, dtype=np.int32)], True, (0, 0, 255), 2)
        output = Path(tempfile.mkdtemp()) / "annotated.png"
        cv2.imwrite(str(output), picture)
        return output
