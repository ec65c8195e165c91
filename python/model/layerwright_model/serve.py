"""Serve runs one after the other, in the main thread."""

from __future__ import annotations

import inspect
import os
import signal
import threading
import time
import traceback
from typing import Any, Callable

from cog._scope import CancelationException, Scope, active

from .channel import Channel
from .loader import Model
from .streams import LogStream
from .values import input_binder, to_json, whole_text


class Server:
    """What both ways of serving share."""

    def __init__(
        self,
        model: Model,
        channel: Channel,
        control: Channel,
        streams: tuple[LogStream, LogStream],
        is_batch: bool,
        attach: Callable[[dict[str, str]], None] | None = None,
    ) -> None:
        """:param attach: makes the trace context of a run current, where that is wanted"""
        self.model, self.channel, self.control, self.streams, self.attach = model, channel, control, streams, attach
        self.bind = input_binder(model.handler, is_batch)
        self.pid = os.getpid()
        self.main_thread = threading.main_thread().ident or 0

    def scope(self, id: str, context: dict[str, str] | None) -> Scope:
        """A scope whose metrics go to the launcher."""
        if self.attach is not None:
            self.attach(context or {})
        send = self.channel.send
        return Scope(lambda name, value, mode: send(["metric", id, name, to_json(value), mode]), context, id)

    def finish(self, id: str, status: str, value: Any, started: float) -> None:
        """Flush the run's last lines, then report its end."""
        seconds = time.perf_counter() - started
        if os.getpid() != self.pid:
            # User code forked and let the child return: it must neither answer nor wait for work.
            os._exit(0)
        for stream in self.streams:
            stream.finish(id)
        self.channel.send(["done", id, status, value, seconds])

    def fail(self, id: str, error: BaseException, started: float) -> None:
        """Report an exception of user code; its traceback goes to the prediction's log."""
        self.streams[1].write("".join(traceback.format_exception(type(error), error, error.__traceback__)))
        text = whole_text(str(error))
        self.finish(id, "failed", f"{type(error).__name__}: {text}" if text else type(error).__name__, started)

    def watch_control(self) -> None:
        """Start the thread that hears cancellations, health checks and the launcher's death."""
        threading.Thread(target=self._watch, name="layerwright-control", daemon=True).start()

    def _watch(self) -> None:
        for verb, argument in self.control:
            if verb == "cancel":
                self.cancel(argument)
            elif verb == "health":
                threading.Thread(target=self._health, args=(argument,), daemon=True).start()
        os._exit(0)  # the launcher is gone, and with it everybody who could want a result

    def _health(self, number: int) -> None:
        error = None
        try:
            answer = self.model.healthcheck() if self.model.healthcheck is not None else True
            if inspect.iscoroutine(answer):
                answer = self.run_coroutine(answer)
            if not answer:
                error = "Healthcheck failed: user-defined healthcheck returned False"
        except Exception as caught:
            error = f"Healthcheck failed: {type(caught).__name__}: {caught}"
        self.channel.send(["health", number, error])

    def run_coroutine(self, coroutine: Any) -> Any:
        """Run a coroutine for a thread that has no loop."""
        import asyncio  # here: it costs 10 MB that most models do not need

        return asyncio.run(coroutine)

    def cancel(self, id: str) -> None:
        """Interrupt a run."""
        raise NotImplementedError


class SyncServer(Server):
    """One run at a time, in the main thread, where signals can interrupt it."""

    current: str | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: ids to cancel; one may wait in the channel still
        self.targets: set[str] = set()

    def cancel(self, id: str) -> None:
        self.targets.add(id)
        if self.current == id:
            signal.pthread_kill(self.main_thread, signal.SIGUSR1)

    def _interrupt(self, *_: Any) -> None:
        if self.current is not None and self.current in self.targets:
            self.current = None
            raise CancelationException("Canceled")

    def serve(self) -> None:
        """Serve until the launcher closes the channel."""
        signal.signal(signal.SIGUSR1, self._interrupt)
        for frame in self.channel:
            if frame[0] == "run":
                self.run(frame[1], frame[2], frame[3])
            elif frame[0] == "batch":
                self.run_batch(frame[1], frame[2])

    def run(self, id: str, values: dict[str, Any], context: dict[str, str] | None) -> None:
        """Run one prediction and report it."""
        active.set(self.scope(id, context))
        for stream in self.streams:
            stream.running = id
        started = time.perf_counter()
        try:
            self.current = id
            if id in self.targets:
                raise CancelationException("Canceled")
            result = self.model.handler(**self.bind(values))
            if self.model.kind == "generator" or _is_iterator(result):
                for item in result:
                    self.channel.send(["output", id, to_json(item)])
                status, value = "streamed", None
            else:
                status, value = "succeeded", to_json(result)
            self.current = None
            self.finish(id, status, value, started)
        except CancelationException:
            self.current = None
            self.finish(id, "canceled", None, started)
        except BaseException as error:  # whatever user code raises ends its run, and not the model
            self.current = None
            self.fail(id, error, started)
        finally:
            active.set(None)
            for stream in self.streams:
                stream.running = None
            self.targets.discard(id)

    def run_batch(self, jobs: list[list[Any]], trace: dict[str, str] | None) -> None:
        """Call the handler once with lists; every job gets its own item of the returned list.

        :param trace: the context that the call belongs to, of one of the jobs
        """
        started = time.perf_counter()
        ids = [job[0] for job in jobs]
        active.set(self.scope(ids[0], jobs[0][2]))
        if self.attach is not None and trace is not None:
            self.attach(trace)
        try:
            bound = [self.bind(job[1]) for job in jobs]
            results = self.model.handler(**{name: [one[name] for one in bound] for name in bound[0]})
            if not isinstance(results, (list, tuple)) or len(results) != len(jobs):
                raise TypeError(f"A batch of {len(jobs)} needs a list of {len(jobs)} outputs")
            values = [to_json(result) for result in results]
        except BaseException as error:
            for id in ids:
                self.fail(id, error, started)
        else:
            for id, value in zip(ids, values):
                self.finish(id, "succeeded", value, started)
        finally:
            active.set(None)


def _is_iterator(value: Any) -> bool:
    """A generator, map, filter and the like; not a file, which iterates too."""
    return hasattr(value, "__next__") and not hasattr(value, "read")
