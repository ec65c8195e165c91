"""Frames between launcher and model process: four bytes of length, big endian, then a JSON array.

To the model (main channel)::

    ["run", id, input, context, folder]
    ["batch", [[id, input, context, folder], ...], trace]

To the model (control channel)::

    ["cancel", id]    ["health", number]

From the model::

    ["ready", facts]            ["setup_failed", traceback]
    ["log", id, stream, text]   ["output", id, value]      ["metric", id, name, value, mode]
    ["done", id, status, value, seconds]   ["health", number, error]
    ["span", scope, span]

``id`` is null for logs outside of a prediction; ``trace`` and ``span`` are those of OpenTelemetry (see ``tracing``). An output value is plain JSON; a file in it is
``{"\\u0000file": path}``, and the launcher reads the file before it answers.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from typing import Any, Iterator

FILE_KEY = "\0file"
_LENGTH = struct.Struct("!I")
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Channel:
    """One end of a socket pair; sending is safe from several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._lock = threading.Lock()
        self._buffer = bytearray()
        self._owner = os.getpid()

    def send(self, frame: list[Any]) -> None:
        """Send a frame.

        :raises TypeError: when the frame holds something JSON cannot say
        """
        payload = _encode(frame).encode("utf-8", "surrogatepass")
        if os.getpid() != self._owner:  # a forked child of user code must not speak for the model
            return
        with self._lock:
            self.sock.sendall(_LENGTH.pack(len(payload)) + payload)

    def __iter__(self) -> Iterator[list[Any]]:
        """Frames as they arrive, until the other end closes."""
        # Into one buffer: a fresh one of this size for each read is mapped and unmapped by the kernel, 30 us.
        room = bytearray(65536)
        view, receive, buffer = memoryview(room), self.sock.recv_into, self._buffer
        while True:
            size = receive(room)
            if not size:
                return
            if not buffer and size == 4 + int.from_bytes(room[:4], "big"):
                yield json.loads(room[4:size])  # the usual case: one whole frame
                continue
            buffer += view[:size]
            yield from self.take()

    def receive_ready(self) -> tuple[list[list[Any]], bool]:
        """What has arrived already, without waiting; and whether the other end still is there."""
        is_open = True
        try:
            chunk = self.sock.recv(65536, socket.MSG_DONTWAIT)
            is_open = bool(chunk)
            self._buffer += chunk
        except (BlockingIOError, InterruptedError):
            pass
        return list(self.take()), is_open

    def take(self) -> Iterator[list[Any]]:
        """Complete frames of the buffer."""
        while len(self._buffer) >= 4:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if len(self._buffer) < 4 + size:
                return
            payload = bytes(self._buffer[4 : 4 + size])
            del self._buffer[: 4 + size]
            yield json.loads(payload)
