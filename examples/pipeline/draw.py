import tempfile

from cog import BasePredictor, Input, Path
from PIL import Image, ImageDraw


class Painter(BasePredictor):
    def predict(
        self,
        image: Path = Input(description="The picture", accept="image/*"),
        boxes: list = Input(description="What to frame"),
        labels: list[str] = Input(description="What to write beside each"),
    ) -> Path:
        picture = Image.open(str(image)).convert("RGB")
        pen = ImageDraw.Draw(picture)
        for box, label in zip(boxes, labels):
            pen.rectangle((box["left"], box["top"], box["right"], box["bottom"]), outline="black")
            pen.text((box["left"], box["bottom"] + 1), label, fill="black")
        output = Path(tempfile.mkdtemp()) / "framed.png"
        picture.save(str(output))
        return output
