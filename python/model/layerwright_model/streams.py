"""``sys.stdout`` and ``sys.stderr`` of the model: lines go to the prediction that wrote them.

What C libraries and child processes write goes to the file descriptors instead; the launcher reads those.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import Any

from cog._scope import active

from .channel import Channel
from .values import whole_text


class _Bytes(io.RawIOBase):
    """The ``buffer`` of a stream, for code that writes bytes."""

    def __init__(self, stream: "LogStream") -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._stream.write(bytes(data).decode("utf-8", "replace"))
        return len(data)


class LogStream(io.TextIOBase):
    """A text stream that sends whole lines, each with the id of the prediction it belongs to."""

    def __init__(self, channel: Channel, name: str, fd: int) -> None:
        self._channel, self._name, self._fd = channel, name, fd
        self._partial: dict[str | None, str] = {}
        self._lock = threading.RLock()
        self._owner = os.getpid()
        #: the run that what other threads write belongs to, where runs are one after the other
        self.running: str | None = None
        self.buffer = _Bytes(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "replace"

    @property
    def name(self) -> str:
        return f"<{self._name}>"

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def reconfigure(self, **_: Any) -> None:
        """Accepted for the sake of scripts that set line buffering."""

    def write(self, text: str) -> int:
        if os.getpid() != self._owner:
            os.write(self._fd, text.encode("utf-8", "replace"))
            return len(text)
        scope = active.get()
        key = scope.id if scope is not None else self.running
        text = text if text.isascii() else whole_text(text)
        with self._lock:
            pending = self._partial.pop(key, "") + text
            cut = pending.rfind("\n") + 1
            # A progress bar rewrites one line with \r for minutes: pass it on rather than hold it back.
            if cut == 0 and ("\r" in text or len(pending) > 8192):
                cut = len(pending)
            if cut < len(pending):
                self._partial[key] = pending[cut:]
            if cut:
                self._channel.send(["log", key, self._name, pending[:cut]])
        return len(text)

    def flush(self) -> None:
        """Nothing: partial lines wait for their end, or for the end of the prediction."""

    def finish(self, key: str | None) -> None:
        """Send what a prediction left without a newline."""
        if self._partial:
            with self._lock:
                rest = self._partial.pop(key, "")
                if rest:
                    self._channel.send(["log", key, self._name, rest])


def install(channel: Channel) -> tuple[LogStream, LogStream]:
    """Replace ``sys.stdout`` and ``sys.stderr``."""
    streams = LogStream(channel, "stdout", 1), LogStream(channel, "stderr", 2)
    sys.stdout, sys.stderr = streams  # type: ignore[assignment]
    return streams
