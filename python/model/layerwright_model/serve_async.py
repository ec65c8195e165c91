"""Serve asynchronous handlers: runs are tasks of one event loop, several at a time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cog._scope import active

from .serve import Server
from .values import to_json


class AsyncServer(Server):
    """Runs as tasks of one event loop, several at a time."""

    loop: asyncio.AbstractEventLoop
    tasks: dict[str, asyncio.Task[None]]

    def start(self) -> None:
        """Attach to the running loop; before ``setup``, so that the launcher's death is noticed during it."""
        self.loop = asyncio.get_running_loop()
        self.tasks = {}
        self.watch_control()

    def run_coroutine(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def cancel(self, id: str) -> None:
        self.loop.call_soon_threadsafe(self._cancel, id)

    def _cancel(self, id: str) -> None:
        task = self.tasks.get(id)
        if task is not None:
            task.cancel()

    async def serve(self) -> None:
        """Serve until the launcher closes the channel."""
        closed = self.loop.create_future()

        def readable() -> None:
            frames, is_open = self.channel.receive_ready()
            for _, id, values, context, _folder in frames:
                self.tasks[id] = self.loop.create_task(self.run(id, values, context))
            if not is_open and not closed.done():
                self.loop.remove_reader(self.channel.sock)
                closed.set_result(None)

        self.loop.add_reader(self.channel.sock, readable)
        await closed

    async def run(self, id: str, values: dict[str, Any], context: dict[str, str] | None) -> None:
        """Run one prediction and report it."""
        active.set(self.scope(id, context))
        started = time.perf_counter()
        try:
            arguments = self.bind(values)
            if self.model.kind == "async_generator":
                async for item in self.model.handler(**arguments):
                    self.channel.send(["output", id, to_json(item)])
                status, value = "streamed", None
            else:
                result = await self.model.handler(**arguments)
                if hasattr(result, "__aiter__"):
                    async for item in result:
                        self.channel.send(["output", id, to_json(item)])
                    status, value = "streamed", None
                else:
                    status, value = "succeeded", to_json(result)
            self.finish(id, status, value, started)
        except asyncio.CancelledError:
            self.finish(id, "canceled", None, started)
        except BaseException as error:  # whatever user code raises ends its run, and not the model
            self.fail(id, error, started)
        finally:
            self.tasks.pop(id, None)
