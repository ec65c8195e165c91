"""The supervisor: keeps a model process alive, from setup over crashes and restarts to its end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Callable, Coroutine, Protocol

from pydantic_core import to_json

from .hints import hint_for
from .prediction import timestamp
from .process import ModelProcess, Reaper
from .settings import Settings
from .tracing.untraced import NO_TRACER, UNTRACED

log = logging.getLogger("layerwright.supervisor")


class Work(Protocol):
    """What the process does while it lives; told in the turn of the loop in which it happens."""

    def on_frame(self, frame: list[Any], has_files: bool) -> None:
        """The process says something; what ``Supervisor.take`` understands is to be handed on."""

    def on_text(self, name: str, text: str) -> None:
        """The process wrote to the file descriptor of that name."""

    def on_ready(self) -> None:
        """Setup has succeeded, the first time or again; ``facts`` say with what."""

    def on_crash(self, message: str) -> None:
        """The process died; what ran in it is lost, and another one starts."""

    def on_unavailable(self, message: str) -> None:
        """There is no model any more, or there never was."""

    def start(self, coroutine: Coroutine[Any, Any, None]) -> object:
        """Run something that the end of the service waits for."""


class Supervisor:
    """One model: its process, and the next one when that dies.

    A setup that fails is final, unless the model has worked before or is lazy: then it is tried again, later and later.
    """

    def __init__(
        self,
        settings: Settings,
        reference: str,
        reaper: Reaper,
        work: Work,
        *,
        is_lazy: bool,
        tracer: Any = NO_TRACER,
        name: str | None = None,
    ) -> None:
        """:param name: of the model, for messages where there are several"""
        self.name = name
        self._subject, self._of = (f"Model {name}", f" of {name}") if name is not None else ("Model", "")
        self.settings, self.reference, self.reaper, self.is_lazy = settings, reference, reaper, is_lazy
        self.process: ModelProcess | None = None
        #: starting, ready, failed (setup), restarting, stopped; lazy: started by the first one who needs it
        self.state = "lazy" if is_lazy else "starting"
        self.setup: dict[str, Any] = {"started_at": timestamp(), "status": "starting"}
        self.setup_logs: list[str] = []
        #: what the process says of its model: ``concurrency``, ``is_async``, ``has_healthcheck``, ``python``
        self.facts: dict[str, Any] = {}
        self.restarts = 0
        #: called when the state changes
        self.changed: set[Callable[[], None]] = set()
        self._work, self._tracer, self._spans = work, tracer, UNTRACED
        self._was_ready = False
        self._failures = 0
        #: the health check that runs, and what its answer comes to; checks have numbers, since one may answer too late
        self._check: asyncio.Task[str | None] | None = None
        self._health: asyncio.Future[str | None] | None = None
        self._checks = 0

    # --- start

    def spawn(self) -> None:
        """Start the process; usable before there is a loop.

        :raises OSError: when there is no such interpreter or folder
        """
        settings = self.settings
        self._spans = self._tracer.setup(self.name)
        is_batch, environment = settings.batch_size > 1, self._spans.environment
        self.process = ModelProcess(settings.python, settings.project, self.reference, environment, is_batch=is_batch)

    def attach(self) -> Coroutine[Any, Any, None]:
        """Listen to the process that ``spawn`` started; call it before a turn of the loop may collect that."""
        process = self.process
        assert process is not None
        process.on_frame, process.on_text, process.on_exit = self._work.on_frame, self._work.on_text, self._exited
        self.reaper.watch(process.pid, process.exited)
        if self.settings.setup_timeout is not None:
            asyncio.get_running_loop().call_later(self.settings.setup_timeout, self._setup_timeout, process)
        return process.attach()

    def wake(self) -> None:
        """Start a lazy model; nothing to any other."""
        if self.state == "lazy":
            self.state = "restarting"
            self._restart()

    @property
    def is_setting_up(self) -> bool:
        """A process starts, the first one or a later one."""
        return self.state in ("starting", "restarting")

    def add_setup_log(self, text: str) -> None:
        """Keep what is written during setup; what is written later belongs to no setup."""
        if self.is_setting_up:
            self.setup_logs.append(text)

    # --- life

    def take(self, frame: list[Any]) -> None:
        """A frame about the process itself: ``ready``, ``setup_failed`` or ``health``."""
        kind = frame[0]
        if kind == "ready":
            self._ready(frame[1])
        elif kind == "setup_failed":
            self._setup_failed(frame[1])
        elif kind == "health":
            if frame[1] == self._checks:
                self._answer(frame[2])

    def note_success(self) -> None:
        """The process has done work: if it dies, the next one starts at once."""
        self._failures = 0

    async def healthcheck(self) -> str | None:
        """Ask the user's ``healthcheck()``; an error text, or None when all is well. It has 5 seconds.

        Who asks while a check runs gets that one's answer.
        """
        if self._check is None:
            if not self.facts.get("has_healthcheck") or self.process is None or self.state != "ready":
                return None
            self._check = asyncio.get_running_loop().create_task(self._ask(self.process))
        # One who no longer waits ends it for nobody else.
        return await asyncio.shield(self._check)

    async def _ask(self, process: ModelProcess) -> str | None:
        self._checks += 1
        answer = self._health = asyncio.get_running_loop().create_future()
        process.control(to_json(["health", self._checks]))
        try:
            return await asyncio.wait_for(answer, 5.0)
        except asyncio.TimeoutError:
            self._health = self._check = None
            return "Healthcheck failed: user-defined healthcheck timed out after 5.0 seconds"

    def _answer(self, error: str | None) -> None:
        """End the check that runs; from now on nobody shares it."""
        answer, self._health, self._check = self._health, None, None
        if answer is not None and not answer.done():
            answer.set_result(error)

    def retire(self) -> None:
        """Begin no process any more; ``end`` ends the one that is there."""
        self.state = "stopped"

    async def end(self, *, is_clean: bool) -> None:
        """End the process, by its own exit handlers when it is clean of work; ``retire`` goes before it."""
        process = self.process
        if process is None:
            return
        if is_clean:
            process.close_channel()
            await _wait_for_exit(process, 2.0)
        process.kill()
        await _wait_for_exit(process, 1.0)

    def _ready(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self._spans.end(None, facts.get("setup_seconds"))
        self.setup.update(status="succeeded", completed_at=timestamp())
        self.state, self._was_ready = "ready", True
        log.info("%s is ready", self._subject)
        self._work.on_ready()
        self._notify()

    def _setup_timeout(self, process: ModelProcess) -> None:
        if process is self.process and self.is_setting_up and process.is_alive:
            self._setup_failed(f"Setup timed out after {self.settings.setup_timeout:g} seconds\n")
            process.kill()

    def _setup_failed(self, text: str) -> None:
        reason = text.strip().rsplit("\n", 1)[-1]
        hint = hint_for(reason)
        whole = text.rstrip("\n") + "\n" + (f"\nhint: {hint}\n" if hint is not None else "")
        self.setup_logs.append(whole)
        self.setup.update(status="failed", completed_at=timestamp())
        self.state = "failed"
        self._spans.end(reason)
        log.error("Setup%s failed: %s", self._of, reason if whole.rstrip() == reason else f"{reason}\n{whole.rstrip()}")
        self._work.on_unavailable("Setup failed: the model is not available")
        self._notify()

    # --- death

    def _exited(self, how: str) -> None:
        self.process, process = None, self.process
        self._spans.end(how)
        self._answer("Healthcheck failed: the model process died")
        if self.state == "starting":
            self._setup_failed(f"Model process {how} during setup\n")
        elif self.state == "failed" and self.is_lazy:
            self.state = "lazy"
        elif self.state == "failed" and self._was_ready:
            self._restart_later()  # it worked before, so the cause may pass
        elif self.state in ("ready", "restarting"):
            last = "\n".join(process.last_lines) if process is not None else ""
            end = f"process {how}" + (f"; its last lines were:\n{last}" if last else "")
            log.error("%s %s", self._subject, end)
            self.state = "restarting"
            self._work.on_crash(f"Model {end}")
            self._restart_later()

    def _restart_later(self) -> None:
        self.state = "restarting"
        delay = 0.0 if self._failures == 0 else min(30.0, 0.5 * 2 ** (self._failures - 1))
        self._failures += 1
        self.restarts += 1
        self._notify()
        asyncio.get_running_loop().call_later(delay, self._restart)

    def _restart(self) -> None:
        if self.state != "restarting":
            return
        self.setup = {"started_at": timestamp(), "status": "starting"}
        self.setup_logs = []
        try:
            self.spawn()
        except OSError as error:
            self._setup_failed(f"Model process cannot start: {error}\n")
            return
        self._work.start(self.attach())

    def _notify(self) -> None:
        for callback in tuple(self.changed):
            callback()


async def _wait_for_exit(process: ModelProcess, seconds: float) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while process.is_alive and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
