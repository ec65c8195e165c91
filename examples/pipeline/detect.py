import numpy as np
from cog import BaseModel, BasePredictor, Input, Path
from PIL import Image


class Box(BaseModel):
    left: int
    top: int
    right: int
    bottom: int


class Detections(BaseModel):
    boxes: list[Box]
    width: int
    height: int


class Detector(BasePredictor):
    def setup(self) -> None:
        print("detector is ready")

    def predict(
        self,
        image: Path = Input(description="Picture with shapes on a background of one colour", accept="image/*"),
        min_area: int = Input(description="Smallest shape, in pixels", default=20, ge=1),
    ) -> Detections:
        pixels = np.asarray(Image.open(str(image)).convert("RGB")).astype(np.int16)
        shapes = np.abs(pixels - pixels[0, 0]).sum(axis=2) > 40
        boxes = [box for box in find_boxes(shapes) if area(box) >= min_area]
        print(f"{len(boxes)} shapes")
        return Detections(boxes=boxes, width=shapes.shape[1], height=shapes.shape[0])


def area(box: Box) -> int:
    return (box.right - box.left) * (box.bottom - box.top)


def find_boxes(shapes: np.ndarray) -> list[Box]:
    """Gives the bounds of every connected shape, from the top down."""
    left = shapes.copy()
    boxes = []
    for top, start in zip(*np.nonzero(shapes)):
        if not left[top, start]:
            continue
        rows, columns = flood(left, int(top), int(start))
        boxes.append(Box(left=min(columns), top=min(rows), right=max(columns) + 1, bottom=max(rows) + 1))
    return boxes


def flood(left: np.ndarray, row: int, column: int) -> tuple[list[int], list[int]]:
    """Takes one shape out of those that are left, and gives its pixels."""
    waiting, rows, columns = [(row, column)], [], []
    left[row, column] = False
    while waiting:
        y, x = waiting.pop()
        rows.append(y)
        columns.append(x)
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < left.shape[0] and 0 <= u < left.shape[1] and left[v, u]:
                left[v, u] = False
                waiting.append((v, u))
    return rows, columns
