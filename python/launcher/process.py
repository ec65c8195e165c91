"""The model process as the launcher sees it: start, frames in and out, death."""

from __future__ import annotations

import asyncio
import collections
import os
import select
import signal
import socket
import struct
import subprocess
import threading
from typing import Any, Callable, Mapping

from pydantic_core import from_json

_LENGTH = struct.Struct("!I")
_MAIN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "model", "layerwright_model", "__main__.py")
_FILE_MARK = b'"\\u0000file"'


class ModelProcess:
    """A child that runs the user's code in its own session, with its own interpreter and packages.

    :param on_frame: called with each frame and whether it names output files
    :param on_text: called with a stream's name and what was written to its file descriptor
    :param on_exit: called once, with a sentence about how it ended
    """

    on_frame: Callable[[list[Any], bool], None]
    on_text: Callable[[str, str], None]
    on_exit: Callable[[str], None]

    def __init__(
        self, python: str, project: str, reference: str, variables: Mapping[str, str] = {}, *, is_batch: bool = False
    ) -> None:
        self._channel, theirs = socket.socketpair()
        self._control, their_control = socket.socketpair()
        for sock in (self._channel, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        outputs = os.pipe(), os.pipe()
        arguments = [str(theirs.fileno()), str(their_control.fileno()), reference, *(["batch"] if is_batch else [])]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
        environment.update(variables, PYTHONUNBUFFERED="1")
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - the interpreter is the image's
                [python, _MAIN, *arguments],
                cwd=project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=outputs[0][1],
                stderr=outputs[1][1],
                pass_fds=(theirs.fileno(), their_control.fileno()),
                start_new_session=True,
            )
        except OSError:
            self._channel.close()
            self._control.close()
            os.close(outputs[0][0])
            os.close(outputs[1][0])
            raise
        finally:
            theirs.close()
            their_control.close()
            os.close(outputs[0][1])
            os.close(outputs[1][1])
        self.pid = self._popen.pid
        self._pipes = {outputs[0][0]: "stdout", outputs[1][0]: "stderr"}
        self._poll = select.poll()
        for fd in self._pipes:
            os.set_blocking(fd, False)
            self._poll.register(fd, select.POLLIN)
        #: the last lines of standard error, for the message about a crash
        self.last_lines: collections.deque[str] = collections.deque(maxlen=20)
        self.is_alive = True
        self._transport: asyncio.Transport | None = None
        self._frames: _Frames | None = None
        self._later: list[bytes] = []

    async def attach(self) -> None:
        """Start to listen; the child may have been running for a while."""
        loop = asyncio.get_running_loop()
        self._channel.setblocking(False)
        self._frames = _Frames(self)
        self._transport, _ = await loop.create_connection(lambda: self._frames, sock=self._channel)
        for fd, name in self._pipes.items():
            loop.add_reader(fd, self._read_pipe, fd, name)

    def send(self, payload: bytes) -> None:
        """Send a frame that is JSON already."""
        if self._transport is not None:
            self._flush()
            self._transport.write(_LENGTH.pack(len(payload)) + payload)

    def send_soon(self, payload: bytes) -> None:
        """Send a frame that nobody waits for yet, together with others of this turn of the loop."""
        if not self._later:
            asyncio.get_running_loop().call_soon(self._flush)
        self._later += (_LENGTH.pack(len(payload)), payload)

    def _flush(self) -> None:
        if self._later:
            data = b"".join(self._later)
            self._later.clear()
            if self._transport is not None:
                self._transport.write(data)

    def control(self, payload: bytes) -> None:
        """Send a frame on the control channel; it is small, so it never blocks."""
        try:
            self._control.sendall(_LENGTH.pack(len(payload)) + payload)
        except OSError:
            pass  # it died; its exit is reported by itself

    def drain_pipes(self) -> None:
        """Read what C code wrote before the frame that was just received."""
        for fd, _ in self._poll.poll(0):
            if fd in self._pipes:
                self._read_pipe(fd, self._pipes[fd])

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Signal the process and everything it started."""
        if self.is_alive:
            try:
                os.killpg(self.pid, number)
            except (ProcessLookupError, PermissionError):
                pass

    def close_channel(self) -> None:
        """Ask it to leave: it ends its loop and runs its exit handlers."""
        if self._transport is not None:
            self._transport.close()

    def exited(self, status: int) -> None:
        """The reaper's word that it is gone; ``status`` is that of ``waitpid``."""
        if not self.is_alive:
            return
        self.drain_pipes()
        self._drain_channel()
        self.is_alive = False
        code = os.waitstatus_to_exitcode(status)
        self._popen.returncode = code
        loop = asyncio.get_running_loop()
        for fd in self._pipes:
            loop.remove_reader(fd)
            os.close(fd)
        self._pipes = {}
        if self._transport is not None:
            self._transport.close()
        self._control.close()
        try:
            os.killpg(self.pid, signal.SIGKILL)  # children it left behind hold the GPU and the memory
        except (ProcessLookupError, PermissionError):
            pass
        self.on_exit(_describe(code))

    def _drain_channel(self) -> None:
        """Take the frames it sent before it ended; they may say why."""
        while self._frames is not None:
            try:
                data = self._channel.recv(65536, socket.MSG_DONTWAIT)
            except OSError:
                return
            if not data:
                return
            self._frames.room[: len(data)] = data
            self._frames.buffer_updated(len(data))

    def note_error(self, text: str) -> None:
        """Remember lines of standard error."""
        self.last_lines.extend(line for line in text.splitlines() if line.strip())

    def _read_pipe(self, fd: int, name: str) -> None:
        try:
            data = os.read(fd, 65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(fd)
            self._poll.unregister(fd)
            return
        text = data.decode("utf-8", "replace")
        if name == "stderr":
            self.note_error(text)
        self.on_text(name, text)


class _Frames(asyncio.BufferedProtocol):
    """Cuts frames out of one fixed buffer; a read of asyncio's own size maps and unmaps 256 KiB, 20 us."""

    def __init__(self, process: ModelProcess) -> None:
        self.process = process
        self.room = bytearray(65536)
        self.rest = bytearray()

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next read goes."""
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on every complete frame."""
        if self.rest:
            self.rest += memoryview(self.room)[:nbytes]
            if len(self.rest) < 4 or len(self.rest) < 4 + _LENGTH.unpack_from(self.rest)[0]:
                return
            data = bytes(self.rest)
            self.rest.clear()
        else:
            data = bytes(memoryview(self.room)[:nbytes])
        position, size = 0, len(data)
        while size - position >= 4:
            end = position + 4 + _LENGTH.unpack_from(data, position)[0]
            if end > size:
                break
            payload = data[position + 4 : end]
            position = end
            self.process.on_frame(from_json(payload), _FILE_MARK in payload)
        if position < size:
            self.rest += data[position:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing: the reaper reports the end, with its reason."""


def _describe(code: int) -> str:
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "an unknown signal"
        hint = ", often the kernel's answer to too little memory" if -code == signal.SIGKILL else ""
        return f"killed by signal {-code} ({name}{hint})"
    return f"exited with status {code}"


class Reaper:
    """Collects every child that ends; as process 1 that includes orphans of the model.

    A thread waits, because uvloop keeps SIGCHLD to itself and not every sandbox has pidfds.
    """

    def __init__(self) -> None:
        self._watched: dict[int, Callable[[int], None]] = {}
        self._wake = threading.Event()

    def install(self) -> None:
        """Begin; children that ended before are collected at once."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._wait, args=(loop,), name="reaper", daemon=True).start()

    def watch(self, pid: int, on_exit: Callable[[int], None]) -> None:
        """Call ``on_exit`` with the wait status when ``pid`` ends; call it in the same turn as the start."""
        self._watched[pid] = on_exit
        self._wake.set()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                self._wake.wait(1.0)
                self._wake.clear()
                continue
            try:
                loop.call_soon_threadsafe(self._ended, pid, status)
            except RuntimeError:  # the loop is closed: the launcher leaves
                return

    def _ended(self, pid: int, status: int) -> None:
        on_exit = self._watched.pop(pid, None)
        if on_exit is not None:
            on_exit(status)
