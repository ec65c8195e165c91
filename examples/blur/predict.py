import tempfile

import numpy as np
from cog import BasePredictor, Input, Path
from PIL import Image, ImageFilter


class Predictor(BasePredictor):
    def predict(
        self,
        image: Path = Input(description="Image to blur"),
        radius: float = Input(description="Blur radius in pixels", default=5, ge=0, le=50),
        grey: bool = Input(description="Give back a grey image", default=False),
    ) -> Path:
        picture = Image.open(str(image)).convert("RGB").filter(ImageFilter.GaussianBlur(radius))
        if grey:
            pixels = np.asarray(picture, dtype=np.float32).mean(axis=2)
            picture = Image.fromarray(pixels.astype(np.uint8))
        output = Path(tempfile.mkdtemp()) / "output.png"
        picture.save(str(output))
        return output
