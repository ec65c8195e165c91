"""``models.json``: the models and pipelines of an image, as the build wrote them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Mapping

from ..pipeline.plan import Plan, read_plan
from ..pipeline.problem import PlanError

VERSION = 1
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True)
class ModelEntry:
    """A model: what names its code, its document, and how many predictions it takes at a time, unless the code says."""

    run: str
    document: dict[str, Any]
    concurrency: int | None


@dataclass(frozen=True)
class PipelineEntry:
    """A pipeline: its steps and its document."""

    plan: Plan
    document: dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """What the file says."""

    default: str
    models: Mapping[str, ModelEntry]
    pipelines: Mapping[str, PipelineEntry]


def load_manifest(path: str) -> Manifest:
    """Read the file.

    :raises OSError: when it cannot be read
    :raises ValueError: when it is no JSON, or not what the launcher understands; with the place
    """
    with open(path, encoding="utf-8") as source:
        return read_manifest(json.load(source))


def read_manifest(root: Any) -> Manifest:
    """What the file's JSON says.

    :raises PlanError: with the place of what is wrong
    """
    if not isinstance(root, dict):
        raise PlanError("the file", "must be an object")
    if root.get("version") != VERSION:
        raise PlanError("version", f"must be {VERSION}: the image was built for another launcher")
    models = {name: _model(node, f"models.{name}") for name, node in _section(root, "models").items()}
    if not models:
        raise PlanError("models", "must not be empty")
    inputs = {name: frozenset(_inputs(entry.document)) for name, entry in models.items()}
    pipelines = {}
    for name, node in _section(root, "pipelines").items():
        place = f"pipelines.{name}"
        if name in models:
            raise PlanError(place, "has the name of a model")
        document = _document(node, place)
        pipelines[name] = PipelineEntry(read_plan(node, place, inputs, frozenset(_inputs(document))), document)
    default = root.get("default")
    if default not in {*models, *pipelines}:
        raise PlanError("default", "must be the name of a model or pipeline")
    return Manifest(default, models, pipelines)


def _section(root: dict[str, Any], key: str) -> dict[str, Any]:
    section = root.get(key, {})
    if not isinstance(section, dict):
        raise PlanError(key, "must be an object")
    for name, node in section.items():
        if _NAME.match(name) is None:
            raise PlanError(f"{key}.{name}", "is no name: small letters, digits, `.`, `_` and `-`, at most 63")
        if not isinstance(node, dict):
            raise PlanError(f"{key}.{name}", "must be an object")
    return section


def _model(node: dict[str, Any], place: str) -> ModelEntry:
    run, concurrency = node.get("run"), node.get("concurrency")
    if not isinstance(run, str) or not run:
        raise PlanError(f"{place}.run", "must name the code, as in `predict.py:Predictor`")
    if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
        raise PlanError(f"{place}.concurrency", "must be a positive number")
    return ModelEntry(run, _document(node, place), concurrency)


def _document(node: dict[str, Any], place: str) -> dict[str, Any]:
    document: Any = node.get("openapi")
    found = document
    for key in ("components", "schemas", "Input"):
        found = found.get(key) if isinstance(found, dict) else None
    inputs = found.get("properties", {}) if isinstance(found, dict) else None
    if not isinstance(inputs, dict) or not all(isinstance(one, dict) for one in inputs.values()):
        raise PlanError(f"{place}.openapi", "must be an OpenAPI document with components.schemas.Input")
    return document  # type: ignore[no-any-return]


def _inputs(document: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = document["components"]["schemas"]["Input"].get("properties", {})
    return properties
