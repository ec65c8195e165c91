"""What is wrong with a plan."""

from __future__ import annotations


class PlanError(ValueError):
    """A part of ``models.json`` that cannot be used; ``place`` says which."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place} {problem}")
        self.place, self.problem = place, problem
