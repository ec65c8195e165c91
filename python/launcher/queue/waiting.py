"""Cancels jobs that have not begun: they would otherwise wait behind the running ones to hear of it."""

from __future__ import annotations

from typing import Awaitable, Callable, Collection

from .job import Job, Keys
from .source import WAITING, Source

#: entries that are watched, of those that nobody has read
WATCHED = 10_000
#: entries that are watched, of those that wait for a model; more than are set aside
WATCHED_ASIDE = 2000


class Watch:
    """The jobs of one source that wait, each with what cancels it."""

    def __init__(self, source: Source, names: Collection[str], cancel: Callable[[Source, str], Awaitable[None]]) -> None:
        """:param names: of the models that jobs may be set aside for"""
        self.source, self._names, self._cancel = source, names, cancel
        #: by entry, the job's id and its own key; the ones that nobody has read, and those that wait for a model
        self._unread: dict[str, tuple[str, str | None]] = {}
        self._aside: dict[str, tuple[str, str | None]] = {}
        #: the last entry looked at
        self._seen = "0-0"

    async def look(self) -> None:
        """See which of them are to be canceled, and have it done."""
        await self._look_at_unread()
        if self._names:
            await self._look_at_aside()
        known = {**self._unread, **self._aside}
        if not known:
            return
        stream = self.source.stream
        pipeline = self.source.client.pipeline(transaction=False)
        for id, key in known.values():
            own = Keys(stream, id).hash + ":cancel"
            pipeline.exists(own)
            pipeline.exists(key or own)
        answers = await pipeline.execute()
        for index, entry in enumerate(known):
            if answers[2 * index] or answers[2 * index + 1]:
                self._unread.pop(entry, None)
                if entry in self._aside:  # until its turn comes, and its own key may stay for longer
                    self._aside[entry] = (self._aside[entry][0], None)
                await self._cancel(self.source, entry)

    async def _look_at_unread(self) -> None:
        client, stream = self.source.client, self.source.stream
        groups = await client.xinfo_groups(stream)
        delivered = next((group["last-delivered-id"] for group in groups if group["name"] == stream), "0-0")
        for entry in [one for one in self._unread if _order(one) <= _order(delivered)]:
            del self._unread[entry]
        start = max(self._seen, delivered, key=_order)
        if len(self._unread) < WATCHED:
            for entry, fields in await client.xrange(stream, min=f"({start}", count=1000):
                self._unread[entry] = self._read(entry, fields)
                self._seen = entry

    async def _look_at_aside(self) -> None:
        client, stream = self.source.client, self.source.stream
        pipeline = client.pipeline(transaction=False)
        for name in self._names:
            pipeline.xpending_range(stream, stream, min="-", max="+", count=WATCHED_ASIDE, consumername=WAITING + name)
        held = [one["message_id"] for listed in await pipeline.execute() for one in listed]
        self._aside = {entry: self._aside[entry] for entry in held if entry in self._aside}
        for entry in held:
            if entry not in self._aside:
                pipeline.xrange(stream, min=entry, max=entry)
        for found in await pipeline.execute():
            self._aside.update((entry, self._read(entry, fields)) for entry, fields in found)

    def _read(self, entry: str, fields: dict[str, str]) -> tuple[str, str | None]:
        job = Job(self.source.stream, entry, fields, self.source.consumer)
        return job.id, job.cancel_key


def _order(entry: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence or 0)
