"""Asks the build backend of a source for metadata or a wheel (PEP 517).

Runs inside the sandbox that `layerwright` made, in the build's own environment, with `/build` bound from outside:
`request.json` says what is wanted, `source` is the archive, `result.json` and `out/` take the answer. Needs nothing but
the standard library of Python 3.8.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Any

PLACE = Path("/build")


def main() -> None:
    request = json.loads((PLACE / "request.json").read_text("utf-8"))
    root = unpack(request["strip"]) / request["subdirectory"]
    if not root.is_dir():
        raise SystemExit(f"The source has no folder {request['subdirectory']}")
    os.chdir(root)
    choose_compiler()
    backend = load_backend(request["backend"], request["backendPath"], root)
    (PLACE / "result.json").write_text(json.dumps(answer(request, backend)), "utf-8")


def answer(request: dict[str, Any], backend: Any) -> dict[str, Any]:
    """What was asked for; or, when the backend needs more packages first, their requirements."""
    wanted = list(call(backend, "get_requires_for_build_wheel", []))
    missing = [each for each in wanted if each not in request["granted"]]
    if missing and request["task"] == "wheel":
        return {"requires": wanted}
    out = PLACE / "out"
    out.mkdir(exist_ok=True)
    if request["task"] == "metadata":
        if missing:
            return {"requires": wanted}
        prepare = getattr(backend, "prepare_metadata_for_build_wheel", None)
        if prepare is not None:
            folder = out / prepare(str(out))
            return {"metadata": (folder / "METADATA").read_text("utf-8")}
        return {"metadata": metadata_of(out / backend.build_wheel(str(out)))}
    name = backend.build_wheel(str(out))
    return {"wheel": pack_again(out / name)}


def call(backend: Any, hook: str, default: Any) -> Any:
    function = getattr(backend, hook, None)
    return default if function is None else function()


def unpack(strip: bool) -> Path:
    """Unpacks the archive; what it could do to this root file system, its own code may do anyway."""
    target = PLACE / "src"
    target.mkdir()
    archive = PLACE / "source"
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as members:
            for member in members.infolist():
                path = members.extract(member, target)
                mode = member.external_attr >> 16 & 0o777
                if mode and not member.is_dir():
                    os.chmod(path, mode | 0o600)
    else:
        with tarfile.open(archive) as members:
            options = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
            listed = members.getmembers()
            for member in listed:
                # Of nobody but the build itself: git distrusts other owners, and who started this could not remove them.
                member.uid = member.gid = 0
                member.uname = member.gname = ""
            members.extractall(target, listed, numeric_owner=True, **options)
    children = list(target.iterdir())
    return children[0] if strip and len(children) == 1 and children[0].is_dir() else target


def choose_compiler() -> None:
    """A relocatable interpreter remembers the compiler that made it, which is hardly the one at hand."""
    for name, compilers in {"CC": ("cc", "gcc", "clang"), "CXX": ("c++", "g++", "clang++")}.items():
        remembered = (sysconfig.get_config_var(name) or "").split(" ")[0]
        if name in os.environ or (remembered and shutil.which(remembered)):
            continue
        found = next((each for each in compilers if shutil.which(each)), None)
        if found is not None:
            os.environ[name] = found


def load_backend(path: str, backend_path: list[str], root: Path) -> Any:
    folders = [str(root / folder) for folder in backend_path]
    sys.path[:0] = folders
    module, _, attributes = path.partition(":")
    backend: Any = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        backend = getattr(backend, attribute)
    return backend


def metadata_of(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as members:
        name = next(name for name in members.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1)
        return members.read(name).decode("utf-8")


def pack_again(wheel: Path) -> str:
    """Packs a wheel with sorted members, one time for all and plain modes: the same files give the same bytes."""
    packed = wheel.with_suffix(".packed")
    with zipfile.ZipFile(wheel) as before, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as after:
        for member in sorted(before.infolist(), key=lambda each: each.filename):
            if member.is_dir():
                continue
            info = zipfile.ZipInfo(member.filename, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            is_executable = member.external_attr >> 16 & 0o111
            info.external_attr = (0o100755 if is_executable else 0o100644) << 16
            after.writestr(info, before.read(member))
    packed.replace(wheel)
    return wheel.name


main()
