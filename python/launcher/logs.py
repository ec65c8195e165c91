"""Log lines on standard error: JSON by default, plain with ``LOG_FORMAT=console``."""

from __future__ import annotations

import json
import logging
import sys

from .prediction import timestamp

_EXTRA = ("prediction_id", "stream", "duration_ms", "trace_id", "span_id", "model")


class JsonFormatter(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": timestamp(record.created),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage().rstrip("\n"),
        }
        for name in _EXTRA:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class PlainFormatter(logging.Formatter):
    """The message; what the model writes passes through as it is."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage().rstrip("\n")
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text if record.name == "layerwright.model" else f"[{record.levelname.lower()}] {text}"


def configure(is_json: bool, level: str, own_level: str | None = None) -> None:
    """Send the launcher's and the model's lines to standard error.

    :param level: Cog's names are taken: debug, info, warning (or warn), error
    :param own_level: of the launcher's lines; the model's keep the other
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if is_json else PlainFormatter())
    logging.getLogger().handlers[:] = [handler]  # uvicorn's and asyncio's warnings would come as plain text
    root = logging.getLogger("layerwright")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(_level(own_level or level))
    logging.getLogger("layerwright.model").setLevel(_level(level))


def _level(name: str) -> str:
    name = {"warn": "WARNING", "trace": "DEBUG"}.get(name.lower(), name.upper())
    return name if isinstance(logging.getLevelName(name), int) else "INFO"
