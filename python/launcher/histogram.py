"""Durations, counted."""

from __future__ import annotations

import bisect


class Histogram:
    """Durations in cumulative buckets, as Prometheus has them."""

    bounds = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    @property
    def mean(self) -> float:
        """Seconds; 0 before the first."""
        return self.sum / max(1, sum(self.counts))

    def observe(self, value: float) -> None:
        """Count a value."""
        self.sum += value
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
