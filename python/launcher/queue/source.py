"""A stream on a server."""

from __future__ import annotations

from typing import Any, Collection, Sequence

from redis.exceptions import ResponseError

from . import scripts
from .job import Job

#: before the name of a model: who holds, in the group, the jobs that wait for it; no worker has this name
WAITING = "waiting for "
#: who holds what a worker has given back
RETURNED = "returned"
#: names that are forgotten at a time, since Redis does nothing else meanwhile
FORGOTTEN = 1000


class Source:
    """A stream, its consumer group, and the scripts registered on its server."""

    def __init__(self, client: Any, stream: str, consumer: str) -> None:
        self.client, self.stream, self.consumer = client, stream, consumer
        self.beat = client.register_script(scripts.BEAT)
        self.progress = client.register_script(scripts.PROGRESS)
        self.finish = client.register_script(scripts.FINISH)
        self.give_back = client.register_script(scripts.GIVE_BACK)
        self.cancel_waiting = client.register_script(scripts.CANCEL_WAITING)
        self._begin = client.register_script(scripts.BEGIN)
        self._started = client.register_script(scripts.STARTED)
        self._set_aside = client.register_script(scripts.SET_ASIDE)
        self._take_waiting = client.register_script(scripts.TAKE_WAITING)
        self._recover = client.register_script(scripts.RECOVER)
        self._leave = client.register_script(scripts.LEAVE)
        self._forget_idle = client.register_script(scripts.FORGET_IDLE)
        self.has_group = False
        self.next_scan = 0.0
        self.next_sweep = 0.0
        #: jobs that were set aside for a model, by its name, as far as is known here
        self.aside: dict[str, int] = {}

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

    async def read(self, count: int, block: int | None) -> list[tuple[str, dict[str, str]]]:
        """The next entries of the stream, none of which was delivered before.

        :param block: how long to wait for one, in milliseconds
        """
        answer = await self.client.xreadgroup(self.stream, self.consumer, {self.stream: ">"}, count=count, block=block)
        streams = answer.items() if isinstance(answer, dict) else answer or []
        return [entry for _, entries in streams for entry in entries]

    async def recover(self, idle_ms: int, names: Collection[str]) -> list[tuple[str, dict[str, str]]]:
        """An entry whose worker has not renewed its claim, or that was given back; it is this worker's now.

        :param names: of this worker's models; what waits for them is no dead worker's
        """
        answer = await self._recover(keys=[self.stream], args=[self.consumer, idle_ms, *(WAITING + name for name in names)])
        return _entries(answer)

    async def begin(self, jobs: Sequence[Job], maximum: int, ttl: int) -> list[str]:
        """Begin the deliveries of jobs, of which each learns how many it has had; gives a verdict on each.

        Those of jobs that are held count once they start, unless they were begun before.
        """
        each = [part for job in jobs for part in (job.entry, job.token, int(job.is_held))]
        verdicts = await self._begin(keys=self._keys(jobs), args=[self.consumer, maximum, ttl, *each])
        for job, (_, deliveries, is_held) in zip(jobs, verdicts):
            job.deliveries, job.is_held = deliveries, is_held == 1
        return [verdict for verdict, _, _ in verdicts]

    async def tell_started(self, jobs: Sequence[Job]) -> None:
        """Count the deliveries of jobs that were held here, and have started."""
        each = [part for job in jobs for part in (job.entry, job.token, job.deliveries)]
        await self._started(keys=self._keys(jobs), args=[self.consumer, *each])

    async def set_aside(self, jobs: Sequence[tuple[Job, str]]) -> None:
        """Let go of jobs that this worker was given and has not begun; the delivery does not count.

        :param jobs: each with who holds it from now on
        """
        each = [part for job, holder in jobs for part in (job.entry, holder)]
        await self._set_aside(keys=self._keys([job for job, _ in jobs]), args=[self.consumer, *each])

    async def take_waiting(self, rooms: dict[str, int]) -> list[tuple[str, dict[str, str]]]:
        """The oldest entries that wait for these models, as many as each has room for; notes how many are left."""
        wanted = [part for name, room in rooms.items() for part in (WAITING + name, room)]
        entries, left = await self._take_waiting(keys=[self.stream], args=[self.consumer, *wanted])
        counts = dict(zip(left[::2], map(int, left[1::2])))
        self.aside = {name[len(WAITING) :]: count for name, count in counts.items() if name.startswith(WAITING)}
        return _entries(entries)

    async def leave(self) -> bool:
        """Take this worker's name out of the group; False when it holds entries, which would be lost with it."""
        return bool(await self._leave(keys=[self.stream], args=[self.consumer]))

    async def forget_idle(self, idle_ms: int) -> None:
        """Take names out of the group that hold nothing and were not heard of for so long; more than some wait for the next time."""
        await self._forget_idle(keys=[self.stream], args=[idle_ms, FORGOTTEN])

    def _keys(self, jobs: Sequence[Job]) -> list[str]:
        return [self.stream, *(job.keys.hash for job in jobs)]


def _entries(answer: Sequence[Any]) -> list[tuple[str, dict[str, str]]]:
    return [(entry, dict(zip(fields[::2], fields[1::2]))) for entry, fields in answer]
