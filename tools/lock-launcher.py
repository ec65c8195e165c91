"""Write python/launcher.lock.json: the launcher's packages for every target, as file names with hashes.

Usage: python3 tools/lock-launcher.py [--check]

pip resolves python/requirements.in for each CPython minor, libc and architecture (by the interpreter of that minor
where one is installed, since pip evaluates markers for the interpreter that runs it). The lock holds no URL: a build
finds the files by name through the user's own index.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOCK = os.path.join(ROOT, "python", "launcher.lock.json")
REQUIREMENTS = os.path.join(ROOT, "python", "requirements.in")
MINORS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    ("glibc", "amd64"): ["manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_5_x86_64", "manylinux1_x86_64"],
    ("glibc", "arm64"): ["manylinux_2_17_aarch64", "manylinux2014_aarch64"],
    ("musl", "amd64"): ["musllinux_1_1_x86_64", "musllinux_1_2_x86_64"],
    ("musl", "arm64"): ["musllinux_1_1_aarch64", "musllinux_1_2_aarch64"],
}


def interpreter(minor: str) -> str:
    """The installed interpreter of a minor version, or the newest older one."""
    candidates = [one for one in MINORS if int(one[2:]) <= int(minor[2:])]
    for one in reversed(candidates):
        for name in (os.environ.get(f"PYTHON{one.replace('.', '')}"), shutil.which(f"python{one}")):
            if name and subprocess.run([name, "-m", "pip", "--version"], capture_output=True).returncode == 0:
                return name
    raise SystemExit(f"No interpreter for CPython {minor}: set PYTHON{minor.replace('.', '')}")


def resolve(minor: str, platforms: list[str]) -> list[dict[str, object]]:
    """The wheels of one target, sorted by name."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        command = [interpreter(minor), "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", report, "--target", folder, "--only-binary", ":all:", "--implementation", "cp"]
        command += ["--python-version", minor, "-r", REQUIREMENTS]
        for platform in platforms:
            command += ["--platform", platform]
        subprocess.run(command, check=True)
        with open(report) as source:
            items = json.load(source)["install"]
    return sorted((wheel(item) for item in items), key=lambda one: str(one["name"]))


_sizes: dict[str, int] = {}


def wheel(item: dict[str, object]) -> dict[str, object]:
    """One package of pip's report as the lock says it."""
    info, metadata = item["download_info"], item["metadata"]
    url = info["url"]  # type: ignore[index]
    if url not in _sizes:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as response:
            _sizes[url] = int(response.headers["Content-Length"])
    return {
        "name": metadata["name"].lower().replace("_", "-"),  # type: ignore[index]
        "version": metadata["version"],  # type: ignore[index]
        "filename": url.rsplit("/", 1)[-1].partition("#")[0],
        "sha256": info["archive_info"]["hashes"]["sha256"],  # type: ignore[index]
        "sizeBytes": _sizes[url],
    }


def main() -> None:
    """Write the lock, or with ``--check`` fail when it differs."""
    targets = []
    for minor in MINORS:
        for (libc, architecture), platforms in PLATFORMS.items():
            wheels = resolve(minor, platforms)
            total = sum(int(str(one["sizeBytes"])) for one in wheels)
            print(f"{minor} {libc} {architecture}: {len(wheels)} wheels, {total / 1e6:.1f} MB", file=sys.stderr)
            targets.append({"python": minor, "libc": libc, "architecture": architecture, "wheels": wheels})
    text = json.dumps({"version": 1, "targets": targets}, indent=1) + "\n"
    if "--check" in sys.argv:
        with open(LOCK) as source:
            raise SystemExit(0 if source.read() == text else "python/launcher.lock.json is stale")
    with open(LOCK, "w") as target:
        target.write(text)


if __name__ == "__main__":
    main()
