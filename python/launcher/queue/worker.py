"""The worker: takes jobs while the engine has free slots, keeps their claims, writes their results."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import time
from typing import Any

from pydantic_core import to_json
from redis.exceptions import AuthenticationError, ResponseError

from ..runs import Duplicate, NotReady, QueueFull, Runs
from ..schema import InvalidRequest
from ..service import Service
from . import scripts
from .connect import LOST, UNWELL, connect
from .job import Job, Keys, describe, now

log = logging.getLogger("layerwright.queue")

SCAN_SECONDS = 0.5
CANCEL_SECONDS = 0.4
FLUSH_SECONDS = 0.05
_LOOK = "Look at Redis: its memory (maxmemory), disk (MISCONF) and role (READONLY), the user's rights and the database in LAYERWRIGHT_QUEUE."


async def start_workers(service: Service) -> list["Worker"]:
    """One worker over all URLs and queues; their streams take turns."""
    worker = Worker(service)
    worker.start()
    return [worker]


class Source:
    """A stream on a server, with the scripts registered there."""

    def __init__(self, client: Any, stream: str) -> None:
        self.client, self.stream = client, stream
        self.begin = client.register_script(scripts.BEGIN)
        self.beat = client.register_script(scripts.BEAT)
        self.progress = client.register_script(scripts.PROGRESS)
        self.finish = client.register_script(scripts.FINISH)
        self.give_back = client.register_script(scripts.GIVE_BACK)
        self.cancel_waiting = client.register_script(scripts.CANCEL_WAITING)
        self.has_group = False
        self.next_scan = 0.0
        #: entries that wait, with the key that cancels each, and the last entry looked at
        self.waiting: dict[str, tuple[str, str | None]] = {}
        self.seen = "0-0"

    async def ensure_group(self) -> None:
        """Make the stream and its group; both may exist."""
        if self.has_group:
            return
        try:
            await self.client.xgroup_create(self.stream, self.stream, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self.has_group = True


class Worker:
    """Runs the jobs of several sources in one engine."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self.service, self.engine, self.settings = service, service.engine, settings
        self.models = service.models
        self.consumer = settings.consumer or f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        clients = [connect(url) for url in settings.redis_urls]
        self.sources = [Source(client, stream) for client in clients for stream in settings.queues]
        self.turn = itertools.cycle(range(len(self.sources)))
        self.jobs: dict[Job, Source] = {}
        self.counts = {"delivered": 0, "redelivered": 0, "dead": 0, "lost": 0}
        self.is_connected = False
        self._has_complained = False
        self._refusals: dict[str, float] = {}
        #: whether jobs wait in the engine for others to come
        self._gathers = settings.batch_size > 1 and not self.models.named
        self._free = asyncio.Event()
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to take work as soon as the model is ready."""
        self.models.whole.changed.add(self._free.set)
        for engine in self.models.engines.values():
            engine.freed.add(self._free.set)
        loop = asyncio.get_running_loop()
        self._loops = [loop.create_task(self._forever(step)) for step in (self._take, self._keep, self._watch_waiting)]

    async def stop(self, grace: float) -> None:
        """Take nothing new; finish what runs within the grace, give the rest back at once."""
        self._stopping = True
        self._free.set()
        self._loops[0].cancel()
        deadline = time.monotonic() + grace
        while self.jobs and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for job, source in list(self.jobs.items()):
            job.is_abandoned = True
            await self._return(job, source, counts=False)
        for task in self._loops:
            task.cancel()
        for client in {id(source.client): source.client for source in self.sources}.values():
            await client.aclose()

    async def _forever(self, step: Any) -> None:
        """Repeat a step; a server that is away is waited for."""
        pause = 0.1
        while True:
            try:
                await step()
                if not self.is_connected:
                    await self._greet()
                pause = 0.1
            except LOST as error:
                self._complain(error)
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 2)
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    self._complain_refusal(str(error))
                for source in self.sources:
                    source.has_group = False
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)
            except Exception:  # a worker that has ended says nothing, and answers that it is ready
                log.exception("Unexpected error of the queue; it is tried again")
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)

    async def _greet(self) -> None:
        """Say that the servers are there, once they are; a step may have had nothing to ask them."""
        for client in {id(source.client): source.client for source in self.sources}.values():
            await client.ping()
        if not self.is_connected:
            self.is_connected, self._has_complained = True, False
            log.info("Connected to the queue")

    def _complain(self, error: Exception) -> None:
        """Say once per outage that the servers are away, and what to try."""
        self.is_connected = False
        if self._has_complained:
            return
        self._has_complained = True
        is_login = isinstance(error, AuthenticationError)
        hint = "Check user and password in LAYERWRIGHT_QUEUE." if is_login else "It is tried again until it answers; LAYERWRIGHT_QUEUE names it."
        log.warning("The queue is not reachable: %s\nhint: %s", error, hint)

    def _complain_refusal(self, text: str) -> None:
        """Say what the servers refuse, the same thing once a minute, whichever script meets it."""
        text = text.partition(" script: ")[0]
        said_at = self._refusals.get(text)
        if said_at is None or time.monotonic() - said_at > 60:
            self._refusals = {text: time.monotonic()}
            log.error("The queue refused a command: %s\nhint: It is tried again. %s", text, _LOOK)

    # --- taking

    @property
    def room(self) -> int:
        """How many jobs can begin now."""
        if self._stopping:
            return 0
        if self.models.named:
            # A job may be for any of them; those that wait for a model that is busy are no more than all slots together.
            return min(self.models.room, self.models.slots - len(self.jobs))
        engine = self.engine
        if engine.model.state != "ready" or engine.ahead:
            return 0
        waiting = len(engine.queue) + len(engine.preparing)
        if waiting and not self._gathers:
            return 0
        return engine.slots - max(len(engine.running) + waiting, len(self.jobs))

    async def _take(self) -> None:
        if self.room <= 0:
            self._free.clear()
            try:
                await asyncio.wait_for(self._free.wait(), 0.2)
            except asyncio.TimeoutError:
                pass
            return
        for _ in self.sources:
            source = self.sources[next(self.turn)]
            await source.ensure_group()
            if await self._claim(source) or await self._read(source, None):
                return
        if len(self.sources) == 1:
            # Short enough that claims of the dead are looked for twice a second on an idle queue too.
            await self._read(self.sources[0], int(SCAN_SECONDS * 1000))
        else:
            await asyncio.sleep(0.1)

    async def _claim(self, source: Source) -> bool:
        """Take over a job whose worker has not renewed its claim."""
        if time.monotonic() < source.next_scan:
            return False
        idle = int(self.settings.idle_limit * 1000)
        answer = await source.client.xautoclaim(
            source.stream, source.stream, self.consumer, idle, start_id="0-0", count=1
        )
        for entry, fields in answer[1]:
            if fields:
                self.counts["redelivered"] += 1
                await self._begin(source, entry, fields)
                return True
        source.next_scan = time.monotonic() + SCAN_SECONDS
        return False

    async def _read(self, source: Source, block: int | None) -> bool:
        # A batch is taken at once: one by one its first would have waited long enough before its last is there.
        count = max(1, self.room) if self._gathers else 1
        answer = await source.client.xreadgroup(
            source.stream, self.consumer, {source.stream: ">"}, count=count, block=block
        )
        streams = answer.items() if isinstance(answer, dict) else answer or []
        taken = [self._begin(source, entry, fields) for _, entries in streams for entry, fields in entries]
        for outcome in await asyncio.gather(*taken, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return bool(taken)

    async def _begin(self, source: Source, entry: str, fields: dict[str, str]) -> None:
        if self._stopping:
            return  # its claim ends by itself; but this cannot happen while loops are cancelled first
        self.counts["delivered"] += 1
        job = Job(source.stream, entry, fields, self.consumer, self.settings.result_limit)
        arguments = [entry, job.token, self.settings.max_deliveries, int(self.settings.state_seconds)]
        try:
            verdict, job.deliveries = await source.begin(keys=job.keys.all, args=arguments)
        except ResponseError:
            await self._undo_delivery(source, entry)
            raise
        if verdict == "ended":
            return
        self.jobs[job] = source
        if verdict == "exhausted":
            reason = f"{int(job.deliveries) - 1} deliveries ended without a result"
            job.fail(reason)
            self._spawn(job, self._finish(job, source, reason))
        elif job.problem is not None:
            job.fail(job.problem)
            self._spawn(job, self._finish(job, source, job.problem))
        else:
            self._spawn(job, self._run(job, source, is_canceled=verdict == "canceled"))

    async def _undo_delivery(self, source: Source, entry: str) -> None:
        """A delivery that Redis had no memory to note down must not count; the entry is claimed again later."""
        stream = source.stream
        pending = await source.client.xpending_range(stream, stream, min=entry, max=entry, count=1)
        for one in pending:
            count = max(0, int(one["times_delivered"]) - 1)
            await source.client.xclaim(stream, stream, self.consumer, 0, [entry], retrycount=count, justid=True)

    def _spawn(self, job: Job, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and task.exception() is not None:
                log.error("Unexpected error with job %s", job.id, exc_info=task.exception())
                self.jobs.pop(job, None)  # its claim ends by itself
                self._free.set()

        task.add_done_callback(ended)

    # --- running

    async def _run(self, job: Job, source: Source, *, is_canceled: bool) -> None:
        span = self.service.tracer.delivery(source.stream, job.entry, int(job.deliveries), job.carrier)
        try:
            await self._run_traced(job, source, span, is_canceled)
        finally:
            span.end()

    async def _run_traced(self, job: Job, source: Source, span: Any, is_canceled: bool) -> None:
        try:
            engine = self._engine_of(job)
            prediction = job.make_prediction(engine.schema)
        except InvalidRequest as error:
            span.refuse(422)
            job.fail(describe(error))
            await self._finish(job, source, "")
            return
        span.follow(prediction)
        if is_canceled:
            prediction.finish("canceled")
            await self._finish(job, source, "")
            return
        if prediction.webhook is not None:
            self.service.webhooks.follow(prediction, is_final=False)
        try:
            engine.submit(prediction)
        except (NotReady, QueueFull, Duplicate):
            span.refuse(503)
            self.service.webhooks.forget(prediction)
            await self._return(job, source, counts=False)
            return
        while not prediction.is_terminal and not job.is_lost and not job.is_abandoned:
            await asyncio.wait([prediction.done], timeout=FLUSH_SECONDS)
            if not prediction.is_terminal:
                await self._write_progress(job, source)
        if job.is_abandoned:
            return
        if job.is_lost:
            self.counts["lost"] += 1
            log.warning("Another worker has taken over: %s", job.id)
            engine.cancel(job.id)
            self.jobs.pop(job, None)
            return
        if prediction.is_crash:
            if int(job.deliveries) < self.settings.max_deliveries:
                await self._return(job, source, counts=True)
                return
            await self._finish(job, source, prediction.error or "The model process died")
            return
        await self._finish(job, source, "")

    def _engine_of(self, job: Job) -> Runs:
        """What runs a job: the default, unless its message names one of several.

        :raises InvalidRequest: when there is none of that name
        """
        name = job.message.get("model")
        if not self.models.named or name is None:
            return self.engine
        if not isinstance(name, str) or name not in self.models.named:
            problem = f"There is no model {name}; this worker has {', '.join(self.models.named)}"
            raise InvalidRequest([{"loc": ["body", "model"], "msg": problem, "type": "value_error"}])
        return self.models.named[name]

    def _cancel(self, job: Job) -> None:
        """Cancel a job that was begun; one that names nothing is no more by then."""
        with contextlib.suppress(InvalidRequest):
            self._engine_of(job).cancel(job.id)

    async def _write_progress(self, job: Job, source: Source) -> None:
        if not job.events:
            return
        events, job.events = job.events, []
        flat = [part for event in events for part in event]
        state = job.state()
        if len(state) > job.limit:
            return  # `_finish` tells
        try:
            kept = await source.progress(keys=job.keys.all, args=[job.token, int(self.settings.state_seconds), state, *flat])
        except UNWELL:
            job.events[:0] = events
            return
        if not kept:
            job.is_lost = True
            return
        await self._respond(job, source)

    async def _respond(self, job: Job, source: Source) -> None:
        """Set Cog's key to the present state; it is no part of the result."""
        if job.response_queue is not None:
            try:
                await source.client.set(job.response_queue, job.state())
            except UNWELL as error:
                log.warning("The response key of %s was not written: %s", job.id, error)

    async def _finish(self, job: Job, source: Source, reason: str) -> None:
        """Write the result, however long the server is away or takes nothing."""
        followed = job.prediction
        if job.fail_if_too_large():
            job.events = []
            if followed is not None:
                self.service.webhooks.forget(followed)
            log.error("Job %s: %s", job.id, job.prediction.error if job.prediction is not None else "")
        prediction = job.prediction
        assert prediction is not None
        pause, has_complained = 0.1, False
        while not job.is_abandoned:
            try:
                flat = [part for event in job.events for part in event]
                if flat:
                    await source.progress(
                        keys=job.keys.all, args=[job.token, int(self.settings.state_seconds), "", *flat]
                    )
                    job.events = []
                arguments = [job.token, int(self.settings.state_seconds), job.state(), job.entry, prediction.status]
                arguments += [reason, job.payload, now(), job.id, job.deliveries]
                is_ours = await source.finish(keys=job.keys.all, args=arguments)
                break
            except UNWELL as error:
                if isinstance(error, ResponseError) and not has_complained:
                    has_complained = True
                    log.error("Redis refuses the result of %s, which waits: %s\nhint: %s", job.id, error, _LOOK)
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 2)
        else:
            return
        self.jobs.pop(job, None)
        self._free.set()
        if not is_ours:
            self.counts["lost"] += 1
            log.warning("A late result was refused, another worker has the job: %s", job.id)
            return
        if reason:
            self.counts["dead"] += 1
            log.error("Job %s is a dead letter: %s", job.id, reason.split("\n")[0])
        await self._respond(job, source)
        self.service.webhooks.complete(prediction)

    async def _return(self, job: Job, source: Source, *, counts: bool) -> None:
        """Make a job claimable at once.

        :param counts: this delivery is one of those after which a job is given up
        """
        self.jobs.pop(job, None)
        if job.prediction is not None:
            self.service.webhooks.forget(job.prediction)
        shown = job.prediction.shown_input() if job.prediction is not None else {}
        waiting = {"id": job.id, "status": "starting", "input": shown}
        deliveries = int(job.deliveries) - (0 if counts else 1)
        try:
            await source.give_back(keys=job.keys.all, args=[job.token, job.entry, deliveries, to_json(waiting)])
        except UNWELL as error:
            log.warning("Job %s could not be given back and will be claimed later: %s", job.id, error)

    # --- keeping claims, hearing cancellations

    async def _keep(self) -> None:
        await asyncio.sleep(CANCEL_SECONDS if self.jobs else 0.1)
        for job, source in list(self.jobs.items()):
            due = time.monotonic() - job.last_beat >= self.settings.heartbeat - CANCEL_SECONDS / 2
            answer = await source.beat(
                keys=job.keys.all, args=[job.entry, job.token, self.consumer, "1" if due else "0"]
            )
            if due:
                job.last_beat = time.monotonic()
            if answer == 0 and job in self.jobs:
                job.is_lost = True
            elif answer == 2 or (job.cancel_key is not None and await source.client.exists(job.cancel_key)):
                self._cancel(job)

    async def _watch_waiting(self) -> None:
        """Cancel jobs that have not begun: they would otherwise wait behind the running ones to hear of it."""
        await asyncio.sleep(SCAN_SECONDS)
        for source in self.sources:
            if source.has_group:
                await self._watch_source(source)

    async def _watch_source(self, source: Source) -> None:
        groups = await source.client.xinfo_groups(source.stream)
        delivered = next((group["last-delivered-id"] for group in groups if group["name"] == source.stream), "0-0")
        for entry in [one for one in source.waiting if _order(one) <= _order(delivered)]:
            del source.waiting[entry]
        start = max(source.seen, delivered, key=_order)
        if len(source.waiting) < 10_000:
            for entry, fields in await source.client.xrange(source.stream, min=f"({start}", count=1000):
                job = Job(source.stream, entry, fields, self.consumer)
                source.waiting[entry] = (job.id, job.cancel_key)
                source.seen = entry
        if not source.waiting:
            return
        pipeline = source.client.pipeline(transaction=False)
        for id, key in source.waiting.values():
            pipeline.exists(Keys(source.stream, id).hash + ":cancel")
            pipeline.exists(key or Keys(source.stream, id).hash + ":cancel")
        answers = await pipeline.execute()
        for index, entry in enumerate(list(source.waiting)):
            if answers[2 * index] or answers[2 * index + 1]:
                await self._cancel_waiting(source, entry)

    async def _cancel_waiting(self, source: Source, entry: str) -> None:
        id, _ = source.waiting.pop(entry)
        found = await source.client.xrange(source.stream, min=entry, max=entry)
        if not found:
            return
        job = Job(source.stream, entry, found[0][1], self.consumer)
        try:
            prediction = job.make_prediction(self._engine_of(job).schema)
        except InvalidRequest as error:
            prediction = job.fail(describe(error))
        prediction.finish("canceled")
        if await source.cancel_waiting(keys=job.keys.all, args=[job.state(), int(self.settings.state_seconds)]):
            log.info("Canceled before it began: %s", id)
            await self._respond(job, source)
            self.service.webhooks.complete(prediction)


def _order(entry: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence or 0)
