"""What a pipeline's prediction shows of its steps: their log lines and their metrics."""

from __future__ import annotations

import re
from typing import Any

from ..prediction import Prediction

_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


class StepLog:
    """Hands the log of one call on, with the step's name before each line."""

    def __init__(self, prediction: Prediction, name: str) -> None:
        self._prediction, self._tag = prediction, f"[{name}] "
        self._rest: dict[str, str] = {}

    def listen(self, event: str, data: Any) -> None:
        """Take whole lines; a rest is a line of its own when the call has ended."""
        if event == "log":
            source, text = data["source"], self._rest.pop(data["source"], "") + data["data"]
            cut = max(text.rfind("\n"), text.rfind("\r")) + 1
            if cut < len(text):
                self._rest[source] = text[cut:]
            self._add(source, text[:cut])
        elif event == "completed":
            for source, text in self._rest.items():
                self._add(source, text + "\n")

    def _add(self, source: str, text: str) -> None:
        if text and not self._prediction.is_terminal:
            self._prediction.add_log(source, "".join(self._tag + line for line in _LINES.findall(text)))


class StepMetrics:
    """``metrics.steps.NAME`` of a prediction: of all calls of the step together."""

    def __init__(self, prediction: Prediction, name: str) -> None:
        self._prediction, self._name = prediction, name
        self.values: dict[str, Any] = {}

    def add(self, metrics: dict[str, Any]) -> None:
        """Of one call: numbers are sums, of anything else the last one counts."""
        for name, value in metrics.items():
            before = self.values.get(name)
            is_sum = _is_number(before) and _is_number(value)
            self.values[name] = before + value if is_sum else value

    def publish(self, **more: Any) -> None:
        """The step has ended."""
        prediction = self._prediction
        if prediction.is_terminal:
            return
        self.values.update(more)
        prediction.metrics.setdefault("steps", {})[self._name] = self.values
        if prediction.listeners:
            prediction.emit("metric", {"name": f"steps.{self._name}", "value": self.values, "mode": "replace"})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
