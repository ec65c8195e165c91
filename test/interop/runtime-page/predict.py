from typing import Optional

from cog import BasePredictor, ConcatenateIterator, Input, Path, streaming


class Predictor(BasePredictor):
    @streaming
    def predict(
        self,
        text: str = Input(description="What to say"),
        times: int = Input(default=2, ge=1, le=5),
        style: str = Input(default="plain", choices=["plain", "loud"]),
        file: Optional[Path] = Input(default=None),
    ) -> ConcatenateIterator[str]:
        print("saying", text)
        for _ in range(times):
            yield (text.upper() if style == "loud" else text) + " "
        if file is not None:
            yield file.read_text()
