"""What a pipeline does, as ``models.json`` has it: stages one after the other, each of one step or of several at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from .problem import PlanError
from .references import Object, Reference, Value, read_value


@dataclass(frozen=True)
class Step:
    """One call of a model, or one for each item of a list."""

    name: str
    model: str
    input: Object
    when: Value | None = None
    each: Value | None = None
    is_optional: bool = False

    @property
    def title(self) -> str:
        """How errors name it."""
        return f"Step {self.name} (model {self.model})"


@dataclass(frozen=True)
class Plan:
    """The stages of a pipeline, and what it gives."""

    stages: tuple[tuple[Step, ...], ...]
    output: Value

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it uses, each once."""
        return tuple(dict.fromkeys(step.model for stage in self.stages for step in stage))

    def is_streamed(self, step: Step) -> bool:
        """What the step gives, piece by piece, is what the pipeline gives."""
        is_plain = step.each is None and step.when is None and not step.is_optional
        return is_plain and self.stages[-1] == (step,) and self.output == Reference((step.name,))


def read_plan(node: Mapping[str, Any], place: str, models: Mapping[str, frozenset[str]], inputs: frozenset[str]) -> Plan:
    """A pipeline of ``models.json``.

    :param models: names of the models, with the names of their inputs
    :param inputs: names of the pipeline's own inputs
    :raises PlanError: with the place of what is wrong
    """
    reader = _Reader(models, inputs)
    steps = node.get("steps")
    if not isinstance(steps, list) or not steps:
        raise PlanError(f"{place}.steps", "must be a list of steps")
    stages = tuple(reader.stage(step, f"{place}.steps[{index}]") for index, step in enumerate(steps))
    return Plan(stages, reader.value(node.get("output"), f"{place}.output"))


class _Reader:
    """Reads steps in order, and knows what the next one may refer to."""

    def __init__(self, models: Mapping[str, frozenset[str]], inputs: frozenset[str]) -> None:
        self._models, self._inputs = models, inputs
        self._names = {"input"}

    def stage(self, node: Any, place: str) -> tuple[Step, ...]:
        """A step, or those of ``parallel``, which do not see each other."""
        if isinstance(node, dict) and "parallel" in node:
            inner = node["parallel"]
            if not isinstance(inner, list) or not inner:
                raise PlanError(f"{place}.parallel", "must be a list of steps")
            steps = tuple(self._step(child, f"{place}.parallel[{index}]") for index, child in enumerate(inner))
        else:
            steps = (self._step(node, place),)
        for step in steps:
            if step.name in self._names | {"item"}:
                raise PlanError(place, f"has the name {step.name}, which is taken")
            self._names.add(step.name)
        return steps

    def value(self, node: Any, place: str, *, has_item: bool = False) -> Value:
        """A value whose references lead to what is known by then."""
        value = read_value(node, place)
        self._check(value, place, has_item)
        return value

    def _step(self, node: Any, place: str) -> Step:
        if not isinstance(node, dict):
            raise PlanError(place, "must be an object")
        for key in ("name", "model"):
            if not isinstance(node.get(key), str) or not node[key]:
                raise PlanError(f"{place}.{key}", "must be a text")
        if node["model"] not in self._models:
            raise PlanError(f"{place}.model", f"names no model: {node['model']}")
        if not isinstance(node.get("optional", False), bool):
            raise PlanError(f"{place}.optional", "must be true or false")
        when, each = node.get("when"), node.get("each")
        return Step(
            name=node["name"],
            model=node["model"],
            input=self._input(node, f"{place}.input", has_item=each is not None),
            when=None if when is None else self.value(when, f"{place}.when"),
            each=None if each is None else self.value(each, f"{place}.each"),
            is_optional=node.get("optional", False),
        )

    def _input(self, node: Mapping[str, Any], place: str, *, has_item: bool) -> Object:
        fields = node.get("input", {})
        if not isinstance(fields, dict):
            raise PlanError(place, "must be an object")
        known = self._models[node["model"]]
        for name in fields:
            if known and name not in known:
                raise PlanError(f"{place}.{name}", f"is no input of the model {node['model']}")
        return Object({name: self.value(child, f"{place}.{name}", has_item=has_item) for name, child in fields.items()})

    def _check(self, value: Value, place: str, has_item: bool) -> None:
        for reference in value.references():
            name, *rest = reference.path
            if name not in self._names and not (name == "item" and has_item):
                raise PlanError(place, f"refers to {name}, which is no step before")
            if name == "input" and rest and rest[0] not in self._inputs:
                raise PlanError(place, f"refers to {rest[0]}, which is no input of the pipeline")
