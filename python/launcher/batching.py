"""When a batch goes."""

from __future__ import annotations

import time


class Batching:
    """Decides whether a batch that is not full waits for more.

    It goes at once when requests come further apart than it may wait: then nobody else is likely to come in that time.
    """

    def __init__(self, size: int, wait: float) -> None:
        self.size, self.wait = size, wait
        self._gap, self._last_arrival = 1.0, 0.0

    def note_arrival(self) -> None:
        """Count a request that has come."""
        now = time.monotonic()
        self._gap = 0.8 * self._gap + 0.2 * min(now - self._last_arrival, 1.0)
        self._last_arrival = now

    def delay(self, length: int, oldest: float) -> float:
        """Seconds that a batch is to wait yet; 0 when it goes now.

        :param length: how many wait
        :param oldest: when the first of them came, as ``time.time``
        """
        waited = time.time() - oldest
        if length >= self.size or waited >= self.wait or self._gap >= self.wait:
            return 0.0
        return self.wait - waited
