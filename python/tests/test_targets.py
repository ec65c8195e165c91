"""What the runtime promises for machines that are not this one: every target has its wheels, every source parses."""

from __future__ import annotations

import ast
import json
import pathlib
import re

import pytest
from support import ROOT

LOCK = json.loads((ROOT / "launcher.lock.json").read_text())["targets"]
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
#: of the issue: the runtime's layers, compressed
LIMIT_BYTES = 12_000_000


def fits(filename: str, python: str, libc: str, architecture: str) -> bool:
    """Whether a wheel of this name is installed by this target (PEP 425, 600, 656)."""
    interpreter, abi, platforms = filename.removesuffix(".whl").split("-")[-3:]
    minor = python.replace(".", "")
    is_ours = "py3" in interpreter.split(".") or (interpreter == f"cp{minor}" and abi == interpreter) or abi == "abi3"
    kind = {"glibc": "manylinux", "musl": "musllinux"}[libc]
    return is_ours and any(
        platform == "any" or re.fullmatch(rf"{kind}[0-9_]*_{MACHINES[architecture]}", platform) for platform in platforms.split(".")
    )


def test_the_lock_has_every_target_once() -> None:
    found = sorted((one["python"], one["libc"], one["architecture"]) for one in LOCK)
    minors = ("3.10", "3.11", "3.12", "3.13", "3.14")
    assert found == sorted((minor, libc, machine) for minor in minors for libc in ("glibc", "musl") for machine in MACHINES)


@pytest.mark.parametrize("target", LOCK, ids=lambda one: f"{one['python']}-{one['libc']}-{one['architecture']}")
def test_each_wheel_fits_its_target_and_all_are_small(target: dict) -> None:  # type: ignore[type-arg]
    names = {wheel["name"] for wheel in target["wheels"]}
    required = {"httptools", "pydantic-core", "redis", "uvicorn", "click", "h11", "typing-extensions"}
    # redis-py wants it before 3.11.3, and 3.11 may be any of its patches.
    required |= {"async-timeout"} if target["python"] in ("3.10", "3.11") else set()
    assert names == required
    for wheel in target["wheels"]:
        assert fits(wheel["filename"], target["python"], target["libc"], target["architecture"]), wheel["filename"]
        assert re.fullmatch(r"[0-9a-f]{64}", wheel["sha256"])
    assert sum(wheel["sizeBytes"] for wheel in target["wheels"]) < LIMIT_BYTES


SOURCES = sorted(path for folder in ("launcher", "model") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_sources_are_in_the_grammar_of_the_oldest_python(path: pathlib.Path) -> None:
    tree = ast.parse(path.read_text(), str(path), feature_version=(3, 10))
    # Newer than 3.10, and no error of its grammar.
    assert not any(type(node).__name__ in ("TryStar", "TypeAlias") for node in ast.walk(tree))
