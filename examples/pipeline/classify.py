import numpy as np
from cog import BasePredictor, Input, Path
from PIL import Image

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 70, 220), "yellow": (230, 210, 40)}


class Classifier(BasePredictor):
    def setup(self) -> None:
        self.names = list(COLOURS)
        self.values = np.array(list(COLOURS.values()))

    def predict(
        self,
        image: Path = Input(description="The whole picture", accept="image/*"),
        box: dict = Input(description="Where to look: left, top, right and bottom"),
    ) -> str:
        picture = Image.open(str(image)).convert("RGB")
        part = np.asarray(picture.crop((box["left"], box["top"], box["right"], box["bottom"])))
        colour = np.median(part.reshape(-1, 3), axis=0)
        name = self.names[int(np.abs(self.values - colour).sum(axis=1).argmin())]
        print(f"the shape at {box['left']}, {box['top']} is {name}")
        return name
