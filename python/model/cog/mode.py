"""What the model process was started for."""

from enum import Enum


class Mode(Enum):
    """Prediction or training."""

    PREDICT = "predict"
    TRAIN = "train"

    def __str__(self) -> str:
        return str(self.value)
