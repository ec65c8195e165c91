"""Predictions that have ended."""

from __future__ import annotations

import collections
import time

from .prediction import Prediction


class History:
    """The last predictions that ended: so many, and none that ended longer ago than so many seconds."""

    def __init__(self, length: int, seconds: float) -> None:
        self._length, self._seconds = length, seconds
        self._ended: collections.OrderedDict[str, Prediction] = collections.OrderedDict()

    def add(self, prediction: Prediction) -> None:
        """Keep one that has just ended."""
        self._ended[prediction.id] = prediction
        if len(self._ended) > self._length:
            self._ended.popitem(last=False)

    def find(self, id: str) -> Prediction | None:
        """One by its id."""
        self._forget()
        return self._ended.get(id)

    def discard(self, id: str) -> None:
        """Forget one, since another with its id begins."""
        self._ended.pop(id, None)

    def all(self) -> list[Prediction]:
        """All of them, oldest first."""
        self._forget()
        return list(self._ended.values())

    def _forget(self) -> None:
        horizon = time.time() - self._seconds
        while self._ended:
            oldest = next(iter(self._ended.values()))
            if (oldest.completed_at or 0) >= horizon:
                return
            self._ended.popitem(last=False)
