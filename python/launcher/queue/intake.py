"""The intake: which jobs a worker takes, and when."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Protocol, Sequence

from redis.exceptions import ResponseError

from ..models.registry import Models
from ..runs import Runs
from ..settings import Settings
from .job import Job
from .source import RETURNED, WAITING, Source

SCAN_SECONDS = 0.5
#: how long a worker of several models listens to the stream before it looks what others have set aside
ASIDE_SECONDS = 0.1
#: jobs that may wait for one model while others behind them are looked for
ASIDE_JOBS = 1000
#: most entries that are read at a time
READ_JOBS = 64
#: a model that is quicker than this has jobs taken ahead: the way to Redis is as long as some of its runs
AHEAD_SECONDS = 0.2

Entry = tuple[str, dict[str, str]]


class Work(Protocol):
    """What a worker does with the jobs that it has taken."""

    #: all that the worker has in hand, and where each came from
    jobs: dict[Job, Source]
    counts: dict[str, int]

    def begin(self, job: Job, source: Source, verdict: str) -> None:
        """Go on with a job whose delivery has begun."""


class Intake:
    """Takes jobs while a model has room for them.

    With several models a job whose model is busy is set aside: in Redis, where every worker sees it, and the first whose
    model is free takes it. So none waits behind one for another model, and a worker holds only what it runs. One model
    that is quick has as many jobs taken ahead as it runs at a time.
    """

    def __init__(self, work: Work, sources: Sequence[Source], models: Models, settings: Settings) -> None:
        self.work, self.sources, self.models, self.settings = work, sources, models, settings
        #: nothing is taken any more
        self.is_closed = False
        self._turn = itertools.cycle(range(len(sources)))
        self._names = {runs: name for name, runs in models.named.items()}
        self._is_batch = settings.batch_size > 1
        self._free, self._free_for_aside = asyncio.Event(), asyncio.Event()
        #: how many entries were set aside in a row
        self._passed = 0

    def wake(self) -> None:
        """There may be room again."""
        self._free.set()
        self._free_for_aside.set()

    def close(self) -> None:
        """Take nothing more; what is on its way here is given back."""
        self.is_closed = True
        self.wake()

    # --- room

    def room(self, runs: Runs, *, is_ahead: bool = False) -> int:
        """How many jobs could start.

        :param is_ahead: and how many more may wait here for those that run
        """
        if self.is_closed or self.models.whole.state not in ("ready", "restarting") or runs.model.state != "ready":
            return 0
        ours = [job for job in self.work.jobs if job.engine is runs]
        ahead = self._ahead(runs) if is_ahead else 0
        free = runs.slots + ahead - runs.load - sum(not job.is_placed for job in ours)
        # A result that cannot be written, or files that are being sent, need no slot; but there is an end to it.
        return min(free, 2 * runs.slots + ahead - len(ours))

    def _ahead(self, runs: Runs) -> int:
        if self._names or runs.mean_seconds >= AHEAD_SECONDS:
            return 0
        started = min((one.started_at or one.created_at for one in runs.running.values()), default=time.time())
        return min(runs.slots, self.settings.queue_length) if time.time() - started < AHEAD_SECONDS else 0

    def _wanted(self) -> int:
        """How many entries of the stream to read now."""
        if not self._names:
            return self.room(self.models.default, is_ahead=True)
        rooms = {name: self.room(runs) for runs, name in self._names.items()}
        free = sum(room for room in rooms.values() if room > 0)
        busy = [name for name, room in rooms.items() if room <= 0]
        if free and any(source.aside.get(name, 0) >= ASIDE_JOBS for source in self.sources for name in busy):
            return 0
        return max(free, min(self._passed, READ_JOBS)) if free else 0

    # --- steps that a worker repeats

    async def take(self) -> None:
        """Take jobs that are new, or whose worker has died, or wait until there is room for one."""
        if self._wanted() <= 0:
            self._free.clear()
            await _wait(self._free, 0.2)
            return
        for _ in self.sources:
            source = self.sources[next(self._turn)]
            await source.ensure_group()
            if await self._claim(source) or await self._read(source, None):
                return
        if len(self.sources) == 1:
            # Short enough that claims of the dead are looked for twice a second on an idle queue too.
            await self._read(self.sources[0], int(SCAN_SECONDS * 1000))
        else:
            await asyncio.sleep(0.1)

    async def take_aside(self) -> None:
        """Take jobs that were set aside for a model which is free now, or wait until one is."""
        self._free_for_aside.clear()
        has_taken = False
        for source in self.sources:
            rooms = {name: self.room(runs) for runs, name in self._names.items()}
            rooms = {name: room for name, room in rooms.items() if room > 0}
            if rooms and source.has_group:
                has_taken = await self._accept(source, await source.take_waiting(rooms)) or has_taken
        if not has_taken:
            await _wait(self._free_for_aside, ASIDE_SECONDS)

    # --- inside

    async def _claim(self, source: Source) -> bool:
        """Take over a job whose worker has not renewed its claim."""
        if time.monotonic() < source.next_scan or not self._has_free_slot():
            return False
        found = await source.recover(int(self.settings.idle_limit * 1000), self._names.values())
        if found:
            self.work.counts["redelivered"] += 1
            await self._accept(source, found)
            return True
        source.next_scan = time.monotonic() + SCAN_SECONDS
        return False

    def _has_free_slot(self) -> bool:
        return any(self.room(runs) > 0 for runs in self._names or (self.models.default,))

    async def _read(self, source: Source, block: int | None) -> bool:
        # As many as there is room for: one by one, the first of a batch would have waited long before its last is there.
        wanted = self._wanted()
        return wanted > 0 and await self._accept(source, await source.read(wanted, block), is_new=True)

    async def _accept(self, source: Source, entries: Sequence[Entry], *, is_new: bool = False) -> bool:
        """Begin jobs that this worker was given, or let go of them; False when there are none.

        :param is_new: nobody had them before
        """
        begun, aside = [], []
        for entry, fields in entries:
            job = Job(source.stream, entry, fields, source.consumer, self.settings.result_limit)
            job.engine = self.engine_of(job)
            holder = self._holder(job, source, is_new)
            if holder is not None:
                aside.append((job, holder))
                continue
            job.is_held = self._waits(job)
            self.work.jobs[job] = source
            begun.append(job)
        try:
            if begun:
                await self._begin(source, begun)
        finally:
            if aside:
                await source.set_aside(aside)
                self._free_for_aside.set()  # there may be room, and others before them
        if is_new and entries:
            self._passed = 0 if begun else 2 * len(entries)
        return bool(entries)

    def _holder(self, job: Job, source: Source, is_new: bool) -> str | None:
        """Who is to hold a job; None when it begins here."""
        if self.is_closed:
            return RETURNED
        if job.engine is None or job.problem is not None or job.engine not in self._names:
            return None
        name = self._names[job.engine]
        waiting = source.aside.get(name, 0)
        if self.room(job.engine) > 0 and not (is_new and waiting):
            return None
        source.aside[name] = waiting + 1
        return WAITING + name

    def _waits(self, job: Job) -> bool:
        """A job that begins now would not start at once."""
        engine = job.engine
        if engine is None or job.problem is not None:
            return False
        return self._is_batch or engine.is_busy or engine.waiting > 0 or self.room(engine) <= 0

    def engine_of(self, job: Job) -> Runs | None:
        """What runs a job: the default, unless its message names one of several; None when there is none of that name."""
        name = job.message.get("model")
        if not self.models.named or name is None:
            return self.models.default
        return self.models.named.get(name) if isinstance(name, str) else None

    async def _begin(self, source: Source, jobs: Sequence[Job]) -> None:
        self.work.counts["delivered"] += len(jobs)
        verdicts: list[str] = []
        try:
            verdicts = await source.begin(jobs, self.settings.max_deliveries, int(self.settings.state_seconds))
        except ResponseError:
            for job in jobs:
                await self._undo_delivery(source, job.entry)
            raise
        finally:
            for job in jobs[len(verdicts) :]:
                del self.work.jobs[job]
        for job, verdict in zip(jobs, verdicts):
            if verdict == "ended":
                del self.work.jobs[job]
                continue
            job.is_begun, job.last_beat = True, time.monotonic()
            self.work.begin(job, source, verdict)

    async def _undo_delivery(self, source: Source, entry: str) -> None:
        """A delivery that Redis had no memory to note down must not count; the entry is claimed again later."""
        stream = source.stream
        pending = await source.client.xpending_range(stream, stream, min=entry, max=entry, count=1)
        for one in pending:
            count = max(0, int(one["times_delivered"]) - 1)
            await source.client.xclaim(stream, stream, source.consumer, 0, [entry], retrycount=count, justid=True)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        pass
