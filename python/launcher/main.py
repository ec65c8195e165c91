"""Command line of the launcher: nothing, ``serve``, ``train`` or any command."""

from __future__ import annotations

import os
import sys
from typing import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the launcher and give its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["train"]:
        from .train import train

        return train(words[1:])
    if words and words[0] != "serve" and not words[0].startswith("-"):
        from .command import run_command

        return run_command(words)
    from .logs import configure
    from .settings import Settings, SettingsError

    try:
        settings = Settings.load(words)
        level = os.environ.get("COG_LOG_LEVEL") or os.environ.get("RUST_LOG") or "info"
        configure(settings.json_logs, level, os.environ.get("LAYERWRIGHT_LOG_LEVEL"))
        from .serve import start

        return start(settings)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
